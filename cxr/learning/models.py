"""`FilmNet`: trunk, pooling, a linear or dense head, one logit for each label."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import cast

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from cxr.errors import ModelFileError
from cxr.learning.trunks import ARCHITECTURES, Trunk, translate_start

LSE_SHARPNESS = 10.0  # r of Pinheiro & Collobert 2015, as Wang et al. 2017 use it on chest films
TRANSFER_CHANNELS = 1024
TORCH_ENDINGS = {".pth", ".pt"}


class Pooling(nn.Module):
    """A (N, K, h, w) -> one vector (N, channels)."""

    channels: int

    def pull_back(self, weights: Tensor) -> Tensor:
        """Weights (.., channels) on the vector -> (.., K): the sum over positions of the derivative by the map.

        It does not depend on the film, which is what makes Grad-CAM cheap.
        """
        raise NotImplementedError

    def derivative(self, weights: Tensor, features: Tensor) -> Tensor:
        """Weights (N, C, channels) on the vector, A (N, K, h, w) -> the derivative by the map, (N, C, K, h, w)."""
        raise NotImplementedError

    def times_features(self, weights: Tensor, features: Tensor) -> Tensor:
        """`derivative` times A, summed over channels: (N, C, h, w)."""
        return torch.einsum("nckhw,nkhw->nchw", self.derivative(weights, features), features)

    def shares(self, weights: Tensor, features: Tensor) -> Tensor:
        """What each position gives to the weighted sum of the vector: (N, C, h, w), which sums to it over positions.

        Where the vector is of first degree in A, that is `times_features`.
        """
        return self.times_features(weights, features)


class LsePooling(Pooling):
    """1x1 convolution T to M channels, then p_m = (1/r) log mean_ij exp(r z_m,ij).

    Between the mean (r -> 0) and the maximum (r -> inf) of each channel (Wang et al. 2017, eq. 2).
    """

    def __init__(self, channels_in: int, positions: int, channels: int = TRANSFER_CHANNELS):
        super().__init__()
        self.transfer = nn.Conv2d(channels_in, channels, 1)
        self.channels = channels

    def forward(self, features: Tensor) -> Tensor:
        """(N, K, h, w) -> (N, M). torch.logsumexp subtracts the maximum first, so no exponential overflows."""
        return self._pool(self.transfer(features))

    @staticmethod
    def _pool(z: Tensor) -> Tensor:
        """(N, M, h, w) -> (N, M)."""
        sharp = z.flatten(2) * LSE_SHARPNESS
        return (torch.logsumexp(sharp, 2) - math.log(sharp.shape[2])) / LSE_SHARPNESS

    @staticmethod
    def _softmax(z: Tensor) -> Tensor:
        """d p_m / d z_m,ij: (N, M, h, w), sums to one over positions."""
        return torch.softmax(z.flatten(2) * LSE_SHARPNESS, 2).view_as(z)

    def pull_back(self, weights: Tensor) -> Tensor:
        """d p_m / d z_m,ij is a softmax over positions and sums to one, so the sum is W T."""
        return weights @ self.transfer.weight.flatten(1)

    def derivative(self, weights: Tensor, features: Tensor) -> Tensor:
        """sum_m weights[c, m] softmax_m,ij T[m, k]."""
        by_z = weights[..., None, None] * self._softmax(self.transfer(features))[:, None]  # (N, C, M, h, w)
        return torch.einsum("ncmhw,mk->nckhw", by_z, self.transfer.weight.flatten(1))

    def times_features(self, weights: Tensor, features: Tensor) -> Tensor:
        """sum_m weights[c, m] softmax_m,ij (T A)_m,ij: the K channels of A need not be gone through for each label."""
        z = self.transfer(features)
        by_features = z - cast(Tensor, self.transfer.bias)[:, None, None]
        return torch.einsum("ncm,nmhw->nchw", weights, self._softmax(z) * by_features)

    def shares(self, weights: Tensor, features: Tensor) -> Tensor:
        """sum_m weights[c, m] softmax_m,ij p_m: position ij gave that share of mean_ij exp(r z_m,ij)."""
        z = self.transfer(features)
        return torch.einsum("ncm,nmhw->nchw", weights, self._softmax(z) * self._pool(z)[..., None, None])


class AveragePooling(Pooling):
    """The mean of each channel."""

    def __init__(self, channels_in: int, positions: int):
        super().__init__()
        self.channels = channels_in

    def forward(self, features: Tensor) -> Tensor:
        """(N, K, h, w) -> (N, K)."""
        return features.mean((2, 3))

    def pull_back(self, weights: Tensor) -> Tensor:
        """The mean's derivative is 1/(h w) at each position and sums to one."""
        return weights

    def derivative(self, weights: Tensor, features: Tensor) -> Tensor:
        height, width = features.shape[2:]
        return (weights / (height * width))[..., None, None].expand(-1, -1, -1, height, width)


class MaxPooling(AveragePooling):
    """The maximum of each channel. Its derivative is one at the maximum, so it sums to one as well."""

    def forward(self, features: Tensor) -> Tensor:
        """(N, K, h, w) -> (N, K)."""
        return features.amax((2, 3))

    def derivative(self, weights: Tensor, features: Tensor) -> Tensor:
        """The weights at each channel's maximum; equal maxima share it, as in PyTorch's own derivative."""
        at = (features == features.amax((2, 3), keepdim=True)).to(features.dtype)
        return weights[..., None, None] * (at / at.sum((2, 3), keepdim=True))[:, None]


class Flatten(Pooling):
    """No pooling: every position of every channel is a number of its own. Ties the network to one input size."""

    def __init__(self, channels_in: int, positions: int):
        super().__init__()
        self.channels = channels_in * positions
        self.positions = positions

    def forward(self, features: Tensor) -> Tensor:
        """(N, K, h, w) -> (N, K h w)."""
        return features.flatten(1)

    def pull_back(self, weights: Tensor) -> Tensor:
        """The sum over the positions of each channel."""
        return torch.sum(weights.unflatten(-1, (-1, self.positions)), -1)

    def derivative(self, weights: Tensor, features: Tensor) -> Tensor:
        """Each number of the vector is one of A's, so the weights themselves."""
        return torch.unflatten(weights, -1, features.shape[1:])


# name -> Pooling(channels K, positions h w)
POOLINGS: dict[str, Callable[[int, int], Pooling]] = {
    "lse": LsePooling,
    "avg": AveragePooling,
    "max": MaxPooling,
    "flatten": Flatten,
}


@dataclass(frozen=True)
class Head:
    """Dense layers between pooling and classifier."""

    widths: tuple[int, ...] = ()
    dropout: float = 0.0
    normalise: bool = False  # a BatchNorm before the first dense layer


HEADS: dict[str, Head] = {
    "linear": Head(),
    "dense256": Head((256,), dropout=0.4),
    "dense512": Head((512,), dropout=0.5, normalise=True),
    "vgg": Head((4096, 4096), dropout=0.5),
}


class FilmNet(nn.Module):
    """Films (N, C, S, S) -> logits (N, labels)."""

    def __init__(self, arch: str, trunk: Trunk, pooling: str, labels: int, head: str = "linear", positions: int = 1):
        super().__init__()
        shape = HEADS[head]
        self.arch = arch
        self.trunk = trunk.layers
        self.blocks = trunk.blocks
        self.new_layers = trunk.new_layers
        self.frozen: tuple[str, ...] = ()
        self.given: frozenset[str] = frozenset()  # parameters that a starting file held
        self.pooling = POOLINGS[pooling](trunk.channels, positions)
        widths = (self.pooling.channels, *shape.widths)
        self.norm = nn.BatchNorm1d(widths[0]) if shape.normalise else None
        self.dense = nn.ModuleList(nn.Linear(a, b) for a, b in pairwise(widths))
        self.dropout = nn.Dropout(shape.dropout)
        self.classifier = nn.Linear(widths[-1], labels)

    def features(self, films: Tensor) -> Tensor:
        """(N, C, S, S) -> the last feature map A (N, K, h, w)."""
        return self.trunk(films)  # type: ignore[no-any-return]

    def head(self, features: Tensor) -> Tensor:
        """A (N, K, h, w) -> logits (N, labels), in float32 at least: exponentials do not bear bf16."""
        with torch.autocast(features.device.type, enabled=False):
            exact = features if features.dtype == torch.float64 else features.float()
            x = self.pooled(exact)
            for layer in self.dense:
                x = self.dropout(torch.relu(layer(x)))
            return self.classifier(x)  # type: ignore[no-any-return]

    def pooled(self, features: Tensor) -> Tensor:
        """A (N, K, h, w) -> what the dense layers see (N, M)."""
        x: Tensor = self.pooling(features)
        if self.norm is None:
            return x
        if self.training and len(x) == 1:  # the last film of an epoch alone has no variance
            return nn.functional.batch_norm(
                x, self.norm.running_mean, self.norm.running_var, self.norm.weight, self.norm.bias, eps=self.norm.eps
            )
        return self.norm(x)  # type: ignore[no-any-return]

    def forward(self, films: Tensor) -> Tensor:
        return self.head(self.features(films))

    def load_start(self, file: Path) -> list[str]:
        """Start from a file of trained weights, safetensors or PyTorch's own; returns the parameters that stay random.

        The file holds a trunk, or a network of torchvision, whose classifier is left out; or it is a checkpoint of
        this project: then pooling and head are taken over too, but for those layers whose shape differs, e.g. the
        classifier of another task.

        Raises:
            ModelFileError: the file cannot be read, or does not fit this trunk.
        """
        tensors = _read_tensors(file)
        own = {name.removeprefix("model."): t for name, t in tensors.items() if name.startswith("model.")}
        trunk = {f"trunk.{name}": t.float() for name, t in translate_start(self.arch, tensors).items()}
        here = self.state_dict()
        given = {name: t for name, t in own.items() if self._takes_over(name, t)} if own else trunk
        given = {name: _in_one_channel(t, here[name]) if name in here else t for name, t in given.items()}
        strangers = [name for name, t in given.items() if name not in here or here[name].shape != t.shape]
        if strangers:
            raise ModelFileError(f"{file.name} does not fit {self.arch}: its {strangers[0]!r} has no place there.")
        missing, _ = self.load_state_dict(given, strict=False)
        self.given = frozenset(given)
        return [name for name in missing if not name.endswith("num_batches_tracked")]

    def _takes_over(self, name: str, tensor: Tensor) -> bool:
        """False for a tensor of pooling or head that has another shape here."""
        here = self.state_dict()
        return name.startswith("trunk.") or (name in here and here[name].shape == tensor.shape)

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
        return self.is_late(name) and name not in self.given

    def is_late(self, name: str) -> bool:
        """Whether the usual starting file, which holds a trunk alone, lacks the parameter `name`."""
        inside = name.removeprefix("trunk.")
        return inside == name or inside.startswith(self.new_layers)


def _read_tensors(file: Path) -> dict[str, Tensor]:
    """Raises ModelFileError. PyTorch's own files are unpickled as tensors alone: nothing in them is run."""
    try:
        if file.suffix.lower() not in TORCH_ENDINGS:
            return load_file(file)
        tensors = torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:
        why = str(error).partition("\n")[0]
        raise ModelFileError(f"The starting weights {file.name} cannot be read ({why}).") from error
    if not isinstance(tensors, dict) or not all(isinstance(t, Tensor) for t in tensors.values()):
        raise ModelFileError(f"{file.name} holds no tensors by name; give the state_dict of a network with --init.")
    return tensors


def _in_one_channel(given: Tensor, here: Tensor) -> Tensor:
    """Weights of an input of three equal channels -> those of one channel, where that is all that differs.

    A convolution adds its channels up; the BatchNorm on an input has one row for each, which are averaged.
    """
    if given.ndim == 4 and given.shape[1] == 3 and here.shape == (given.shape[0], 1, *given.shape[2:]):
        return given.sum(1, keepdim=True)
    if given.shape == (3,) and here.shape == (1,):
        return given.mean(0, keepdim=True)
    return given


def build(
    arch: str,
    pooling: str,
    labels: int,
    channels_in: int,
    seed: int,
    *,
    head: str = "linear",
    size: int = 224,
    weights: str | None = None,
) -> FilmNet:
    """A network whose random layers depend on `seed` alone; the caller's generator is left as it was.

    `size` is the input's side: only `flatten` depends on it. `weights` are torchvision's, e.g. "DEFAULT".
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        trunk = ARCHITECTURES[arch](channels_in, weights)
        positions = _positions(trunk, channels_in, size) if pooling == "flatten" else 1
        return FilmNet(arch, trunk, pooling, labels, head, positions)


def _positions(trunk: Trunk, channels_in: int, size: int) -> int:
    """h w of the trunk's map for an input of `size`."""
    trunk.layers.eval()
    with torch.inference_mode():
        shape: torch.Size = trunk.layers(torch.zeros(1, channels_in, size, size)).shape
    return shape[2] * shape[3]
