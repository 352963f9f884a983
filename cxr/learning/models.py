"""`FilmNet`: trunk, pooling, linear head, one logit for each label."""

import math
from collections.abc import Callable
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from cxr.errors import ModelFileError
from cxr.learning.trunks import ARCHITECTURES, Trunk, translate_start

LSE_SHARPNESS = 10.0  # r of Pinheiro & Collobert 2015, as Wang et al. 2017 use it on chest films
TRANSFER_CHANNELS = 1024


class LsePooling(nn.Module):
    """1x1 convolution T to M channels, then p_m = (1/r) log mean_ij exp(r z_m,ij).

    Between the mean (r -> 0) and the maximum (r -> inf) of each channel (Wang et al. 2017, eq. 2).
    """

    def __init__(self, channels_in: int, channels: int = TRANSFER_CHANNELS, sharpness: float = LSE_SHARPNESS):
        super().__init__()
        self.transfer = nn.Conv2d(channels_in, channels, 1)
        self.sharpness = sharpness
        self.channels = channels

    def forward(self, features: Tensor) -> Tensor:
        """(N, K, h, w) -> (N, M). torch.logsumexp subtracts the maximum first, so no exponential overflows."""
        z = self.transfer(features).flatten(2) * self.sharpness
        return (torch.logsumexp(z, 2) - math.log(z.shape[2])) / self.sharpness


class AveragePooling(nn.Module):
    """The mean of each channel."""

    def __init__(self, channels_in: int):
        super().__init__()
        self.channels = channels_in

    def forward(self, features: Tensor) -> Tensor:
        """(N, K, h, w) -> (N, K)."""
        return features.mean((2, 3))


POOLINGS: dict[str, Callable[[int], nn.Module]] = {"lse": LsePooling, "avg": AveragePooling}


class FilmNet(nn.Module):
    """Films (N, C, S, S) -> logits (N, labels); a probability is the sigmoid of a logit."""

    def __init__(self, arch: str, trunk: Trunk, pooling: str, labels: int):
        super().__init__()
        self.arch = arch
        self.trunk = trunk.layers
        self.blocks = trunk.blocks
        self.new_layers = trunk.new_layers
        self.frozen: tuple[str, ...] = ()
        self.pooling = POOLINGS[pooling](trunk.channels)
        width = int(self.pooling.channels)  # type: ignore[arg-type]
        self.classifier = nn.Linear(width, labels)

    def features(self, films: Tensor) -> Tensor:
        """(N, C, S, S) -> the last feature map A (N, K, h, w)."""
        return self.trunk(films)  # type: ignore[no-any-return]

    def head(self, features: Tensor) -> Tensor:
        """A (N, K, h, w) -> logits (N, labels), in float32 at least: exponentials do not bear bf16."""
        with torch.autocast(features.device.type, enabled=False):
            exact = features if features.dtype == torch.float64 else features.float()
            return self.classifier(self.pooling(exact))  # type: ignore[no-any-return]

    def forward(self, films: Tensor) -> Tensor:
        return self.head(self.features(films))

    def load_start(self, file: Path) -> list[str]:
        """Start the trunk from a safetensors file of trained weights; returns the parameters that stay random.

        Raises:
            ModelFileError: the file cannot be read, or holds tensors that this trunk does not have.
        """
        try:
            tensors = load_file(file)
        except Exception as error:
            raise ModelFileError(f"The starting weights {file.name} cannot be read ({error}).") from error
        renamed = {name: t.float() for name, t in translate_start(self.arch, tensors).items()}
        missing, unexpected = self.trunk.load_state_dict(renamed, strict=False)
        if unexpected:
            raise ModelFileError(
                f"{file.name} does not fit {self.arch}: it holds {unexpected[0]!r}, which is not there."
            )
        return [name for name in missing if not name.endswith("num_batches_tracked")]

    def freeze(self, blocks: int) -> None:
        """Keep the first `blocks` blocks of the trunk as they are, BatchNorm statistics included."""
        self.frozen = tuple(prefix for block in self.blocks[:blocks] for prefix in block)
        for name, parameter in self.trunk.named_parameters():
            parameter.requires_grad_(not name.startswith(self.frozen))

    def train(self, mode: bool = True) -> "FilmNet":
        """As nn.Module.train, but frozen BatchNorms stay in evaluation mode."""
        super().train(mode)
        for name, layer in self.trunk.named_modules():
            if self.frozen and f"{name}.".startswith(self.frozen):
                layer.eval()
        return self

    def is_new(self, name: str) -> bool:
        """Whether the parameter `name` starts at random and so learns at the higher rate."""
        inside = name.removeprefix("trunk.")
        return inside == name or inside.startswith(self.new_layers)


def build(arch: str, pooling: str, labels: int, channels_in: int, seed: int, weights: str | None = None) -> FilmNet:
    """A network whose random layers depend on `seed` alone; the caller's generator is left as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return FilmNet(arch, ARCHITECTURES[arch](channels_in, weights), pooling, labels)
