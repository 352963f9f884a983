"""Trunks: film (N, C, S, S) -> feature map A (N, K, h, w), the last one before pooling."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torchvision
from torch import Tensor, nn

from cxr.errors import TrainingError


@dataclass(frozen=True)
class Trunk:
    """A convolutional trunk and what must be known to train it."""

    layers: nn.Module
    channels: int  # K of the feature map
    blocks: tuple[tuple[str, ...], ...]  # prefixes of parameter names, block by block from the input on
    new_layers: tuple[str, ...] = ()  # prefixes of parameters that a starting file does not hold


class PreActivationUnit(nn.Module):
    """Bottleneck of ResNet v2 (He et al. 2016, "Identity Mappings", fig. 4e), stride in the 3x3 convolution."""

    def __init__(self, channels_in: int, channels: int, channels_out: int, stride: int):
        super().__init__()
        self.bn1 = nn.BatchNorm2d(channels_in)
        self.conv1 = nn.Conv2d(channels_in, channels, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, stride, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(channels)
        self.conv3 = nn.Conv2d(channels, channels_out, 1, bias=False)
        changes = stride != 1 or channels_in != channels_out
        self.down = nn.Conv2d(channels_in, channels_out, 1, stride, bias=False) if changes else None
        nn.init.zeros_(self.conv3.weight)  # a unit starts as its shortcut, so a deep new stage learns from step one

    def forward(self, x: Tensor) -> Tensor:
        y = torch.relu(self.bn1(x))
        shortcut = x if self.down is None else self.down(y)
        y = self.conv1(y)
        y = self.conv2(torch.relu(self.bn2(y)))
        y = self.conv3(torch.relu(self.bn3(y)))
        return torch.add(shortcut, y)


class ResNet50V2(nn.Module):
    """ResNet-50 v2 in the Gluon form: a BatchNorm on the input, and one after the last stage."""

    def __init__(self, channels_in: int):
        super().__init__()
        self.bn_in = nn.BatchNorm2d(channels_in)
        self.conv1 = nn.Conv2d(channels_in, 64, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        widths = (64, 256, 512, 1024, 2048)
        depths = (3, 4, 6, 3)
        self.stages = nn.ModuleList(
            _stage(widths[i], widths[i + 1], depths[i], stride=1 if i == 0 else 2) for i in range(4)
        )
        self.bn_out = nn.BatchNorm2d(2048)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.bn1(self.conv1(self.bn_in(x))))
        x = nn.functional.max_pool2d(x, 3, 2, 1)
        for stage in self.stages:
            x = stage(x)
        return torch.relu(self.bn_out(x))


def _stage(channels_in: int, channels_out: int, depth: int, stride: int) -> nn.Sequential:
    first = PreActivationUnit(channels_in, channels_out // 4, channels_out, stride)
    rest = [PreActivationUnit(channels_out, channels_out // 4, channels_out, 1) for _ in range(depth - 1)]
    return nn.Sequential(first, *rest)


def _resnet50v2(channels_in: int, weights: str | None) -> Trunk:
    if weights:
        raise TrainingError("torchvision has no weights of resnet50v2; start it from a file with --init.")
    stem = ("bn_in.", "conv1.", "bn1.")
    blocks = (stem, *((f"stages.{i}.",) for i in range(4)))
    return Trunk(ResNet50V2(channels_in), 2048, blocks, new_layers=("stages.3.", "bn_out."))


def _resnet50(channels_in: int, weights: str | None) -> Trunk:
    net = torchvision.models.resnet50(weights=weights)
    if channels_in != 3:
        net.conv1 = nn.Conv2d(channels_in, 64, 7, 2, 3, bias=False)
    blocks = (("0.", "1."), ("4.",), ("5.",), ("6.",), ("7.",))
    return Trunk(nn.Sequential(*list(net.children())[:-2]), 2048, blocks)


def _efficientnet_b0(channels_in: int, weights: str | None) -> Trunk:
    """Ends at the last block: the 320 -> 1280 convolution that torchvision adds only feeds its classifier."""
    features = torchvision.models.efficientnet_b0(weights=weights).features[:8]
    if channels_in != 3:
        features[0][0] = nn.Conv2d(channels_in, 32, 3, 2, 1, bias=False)
    for layer in features.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.eps = 1e-3
    return Trunk(features, 320, tuple((f"{i}.",) for i in range(8)))


# name -> (input channels, torchvision weights or None) -> Trunk
ARCHITECTURES: dict[str, Callable[[int, str | None], Trunk]] = {
    "resnet50": _resnet50,
    "resnet50v2": _resnet50v2,
    "efficientnet_b0": _efficientnet_b0,
}


def translate_start(arch: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Names of a starting file -> names of the trunk `arch`.

    The ResNet v2 file calls the BatchNorm that opens stage 4 `post`; EfficientNet's names carry `features.`.
    """
    renames = {"resnet50v2": ("post.", "stages.3.0.bn1."), "efficientnet_b0": ("features.", "")}
    if arch not in renames:
        return tensors
    old, new = renames[arch]
    return {name.replace(old, new, 1) if name.startswith(old) else name: t for name, t in tensors.items()}
