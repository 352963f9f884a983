"""Run by torchrun in two processes: do their gradients equal those of one process with the whole batch?

Float64, BatchNorm frozen (in evaluation mode, as statistics of half a batch differ from those of the whole).
"""

import torch

from cxr.learning.batches import Share, steps_of
from cxr.learning.devices import join
from cxr.learning.losses import LOSSES
from cxr.tasks import Recipe
from tests.learning.nets import tiny_net


def main() -> None:
    x = torch.randn(8, 1, 8, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    y = (x.mean((1, 2, 3))[:, None] > 0).double().expand(8, 3).contiguous()
    loss = LOSSES["bce"](y.numpy())
    with join() as place:
        (rows,) = steps_of(torch.arange(8).numpy(), Recipe(batch=8), Share(place.rank, place.world))
        assert len(rows) == 4
        shared = tiny_net("lse")
        wrapped = torch.nn.parallel.DistributedDataParallel(shared)
        loss(wrapped(x[rows]), y[rows]).backward()
        alone = tiny_net("lse")
        loss(alone(x), y).backward()
        for ours, whole in zip(shared.parameters(), alone.parameters(), strict=True):
            torch.testing.assert_close(ours.grad, whole.grad, rtol=0, atol=1e-12)
        assert place.interleave(rows[:, None].astype("float32")).ravel().tolist() == list(range(8))
        assert place.mean(float(place.rank)) == 0.5


if __name__ == "__main__":
    main()
