"""Run by torchrun in two processes: do their gradients equal those of one process with the whole batch?

Float64, BatchNorm frozen (in evaluation mode, as statistics of half a batch differ from those of the whole). And is it
one network that is validated, where each process has BatchNorm statistics of its own?
"""

from pathlib import Path
from unittest.mock import patch

import numpy as np
import torch

from cxr.learning import training
from cxr.learning.batches import Share, steps_of
from cxr.learning.datasets import PackedFilms
from cxr.learning.devices import CPU, Place, join
from cxr.learning.losses import LOSSES
from cxr.learning.runs import Bench, start
from cxr.scaling import sigmoid
from cxr.tasks import TASKS, Preprocessing, Recipe
from tests.learning.nets import tiny_net


def main() -> None:
    with join() as place:
        _check_gradients(place)
        _check_validation(place)
        assert place.mean(float(place.rank)) == 0.5
        assert place.any(place.rank == 1)
        assert not place.any(False)


def _check_gradients(place: Place) -> None:
    x = torch.randn(8, 1, 8, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    y = (x.mean((1, 2, 3))[:, None] > 0).double().expand(8, 3).contiguous()
    y[0], y[3, 1] = torch.nan, torch.nan  # the processes do not know the same number of labels
    loss = LOSSES["bce"](y.numpy())
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


def _check_validation(place: Place) -> None:
    squares = np.random.default_rng(0).integers(0, 255, (5, 256, 256), np.uint8)
    films = PackedFilms(squares, np.eye(5, 14, dtype=np.float32))
    recipe = Recipe(arch="resnet18", pooling="avg", size=32, precision="f32", seed=3)
    bench = Bench(TASKS["chestxray14"], recipe, films, films, Path("none"), {}, place)
    run = start(bench)
    expected = sigmoid(training.predict(run.average, films, Preprocessing(size=32), CPU, "f32"))
    with torch.no_grad():
        for buffer in run.average.buffers():
            buffer += place.rank
    with patch.object(training, "mean_auroc", return_value=0.5) as judge:
        training._validation_auc(run, bench)
    np.testing.assert_allclose(judge.call_args.args[0], expected, rtol=0, atol=1e-6)


if __name__ == "__main__":
    main()
