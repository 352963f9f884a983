"""Trunks: film (N, C, S, S) -> feature map A (N, K, h, w), the last one before pooling."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torchvision
from torch import Tensor, nn
from torchvision.ops import Conv2dNormActivation

from cxr.errors import TrainingError
from cxr.learning.preactivation import ResNet50V2


@dataclass(frozen=True)
class Trunk:
    """A convolutional trunk and what must be known to train it."""

    layers: nn.Module
    channels: int  # K of the feature map
    blocks: tuple[tuple[str, ...], ...]  # prefixes of parameter names, block by block from the input on
    new_layers: tuple[str, ...] = ()  # prefixes of parameters that a starting file does not hold


def _resnet50v2(channels_in: int, weights: str | None) -> Trunk:
    if weights:
        raise TrainingError("torchvision has no weights of resnet50v2; start it from a file with --init.")
    stem = ("bn_in.", "conv1.", "bn1.")
    blocks = (stem, *((f"stages.{i}.",) for i in range(4)))
    return Trunk(ResNet50V2(channels_in), 2048, blocks, new_layers=("stages.3.", "bn_out."))


def _resnet(make: Callable[..., Any], channels: int) -> "Maker":
    def resnet(channels_in: int, weights: str | None) -> Trunk:
        layers = nn.Sequential(*list(make(weights=weights).children())[:-2])
        _widen_input(layers, "0", channels_in)
        return Trunk(layers, channels, (("0.", "1."), ("4.",), ("5.",), ("6.",), ("7.",)))

    return resnet


def _densenet(make: Callable[..., Any], channels: int) -> "Maker":
    def densenet(channels_in: int, weights: str | None) -> Trunk:
        """torchvision applies the last ReLU in place and outside `features`; here the map is what follows it."""
        layers = nn.Sequential(make(weights=weights).features, nn.ReLU())
        _widen_input(layers, "0.conv0", channels_in)
        blocks = [(f"0.denseblock{i}.", f"0.transition{i}.", f"0.norm{i + 1}.") for i in (1, 2, 3, 4)]
        return Trunk(layers, channels, (("0.conv0.", "0.norm0."), *blocks))

    return densenet


def _efficientnet(make: Callable[..., Any]) -> "Maker":
    def efficientnet(channels_in: int, weights: str | None) -> Trunk:
        """Ends at the last block: the convolution to 1280 channels that torchvision adds only feeds its classifier."""
        layers = make(weights=weights).features[:8]
        _widen_input(layers, "0.0", channels_in)
        for layer in layers.modules():
            if isinstance(layer, nn.BatchNorm2d):
                layer.eps = 1e-3
        return Trunk(layers, 320, tuple((f"{i}.",) for i in range(8)))

    return efficientnet


def _vgg16(channels_in: int, weights: str | None) -> Trunk:
    layers = torchvision.models.vgg16(weights=weights).features
    for layer in layers.modules():
        if isinstance(layer, nn.ReLU):
            layer.inplace = False
    _widen_input(layers, "0", channels_in)
    ends = (5, 10, 17, 24, 31)  # after each max pooling
    return Trunk(layers, 512, tuple(tuple(f"{i}." for i in range(a, b)) for a, b in pairwise((0, *ends))))


def _convnext_tiny(channels_in: int, weights: str | None) -> Trunk:
    """torchvision normalises after pooling; here each position is, so that the head stays linear in the map."""
    net = torchvision.models.convnext_tiny(weights=weights)
    _widen_input(net.features, "0.0", channels_in)
    layers = nn.Sequential(net.features, net.classifier[0])
    return Trunk(layers, 768, tuple((f"0.{i}.",) for i in range(8)))


def _plain_cnn(*widths: int) -> "Maker":
    def plain_cnn(channels_in: int, weights: str | None) -> Trunk:
        """3x3 convolutions, each halving the film by max pooling."""
        if weights:
            raise TrainingError("torchvision has no weights of this network; it is trained from scratch.")
        layers: list[nn.Module] = []
        for inner, outer in pairwise((channels_in, *widths)):
            layers += [Conv2dNormActivation(inner, outer, norm_layer=None, inplace=False), nn.MaxPool2d(2)]
        return Trunk(nn.Sequential(*layers), widths[-1], tuple((f"{2 * i}.",) for i in range(len(widths))))

    return plain_cnn


def _widen_input(layers: nn.Module, name: str, channels_in: int) -> None:
    """Let the first convolution take `channels_in` channels; one channel gets the sum of the three colours' weights."""
    first = layers.get_submodule(name)
    assert isinstance(first, nn.Conv2d)
    if first.in_channels == channels_in:
        return
    colours = first.weight.detach().sum(1, keepdim=True)
    first.weight = nn.Parameter(colours.expand(-1, channels_in, -1, -1).clone() / channels_in)
    first.in_channels = channels_in


Maker = Callable[[int, str | None], Trunk]  # (input channels, torchvision weights or None) -> Trunk

ARCHITECTURES: dict[str, Maker] = {
    "resnet18": _resnet(torchvision.models.resnet18, 512),
    "resnet50": _resnet(torchvision.models.resnet50, 2048),
    "resnet50v2": _resnet50v2,
    "densenet121": _densenet(torchvision.models.densenet121, 1024),
    "densenet201": _densenet(torchvision.models.densenet201, 1920),
    "efficientnet_b0": _efficientnet(torchvision.models.efficientnet_b0),
    "efficientnet_b1": _efficientnet(torchvision.models.efficientnet_b1),
    "vgg16": _vgg16,
    "convnext_tiny": _convnext_tiny,
    "simplecnn": _plain_cnn(32, 64, 128),
    "binarycnn": _plain_cnn(32, 64, 128, 128),
}


# What a starting file calls a layer -> what the trunk calls it; None for what a trunk has not. The first that fits.
# torchvision's names, and those of a ResNet v2 file that calls the BatchNorm which opens stage 4 `post`.
_RESNET = {
    r"conv1\.": "0.", r"bn1\.": "1.", r"layer1\.": "4.", r"layer2\.": "5.", r"layer3\.": "6.", r"layer4\.": "7.",
    r"fc\.": None,
}  # fmt: skip
_DENSENET = {
    # The files that torchvision offers are older than its names: `norm.1` is `norm1`.
    r"features\.(denseblock\d+\.denselayer\d+\.)(norm|conv)\.([12])\.": r"0.\1\2\3.",
    r"features\.": "0.",
    r"classifier\.": None,
}
_EFFICIENTNET = {r"features\.8\.": None, r"features\.": "", r"classifier\.": None}
_RENAMES: dict[str, dict[str, str | None]] = {
    "resnet18": _RESNET,
    "resnet50": _RESNET,
    "resnet50v2": {r"post\.": "stages.3.0.bn1."},
    "densenet121": _DENSENET,
    "densenet201": _DENSENET,
    "efficientnet_b0": _EFFICIENTNET,
    "efficientnet_b1": _EFFICIENTNET,
    "vgg16": {r"features\.": "", r"classifier\.": None},
    "convnext_tiny": {r"features\.": "0.", r"classifier\.0\.": "1.", r"classifier\.": None},
}


def translate_start(arch: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Names of a starting file, torchvision's or the trunk's own, -> names of the trunk `arch`; no classifier."""
    renamed = {_renamed(name, _RENAMES.get(arch, {})): tensor for name, tensor in tensors.items()}
    return {name: tensor for name, tensor in renamed.items() if name is not None}


def _renamed(name: str, renames: dict[str, str | None]) -> str | None:
    pattern = next((pattern for pattern in renames if re.match(pattern, name)), None)
    if pattern is None:
        return name
    new = renames[pattern]
    return None if new is None else re.sub(f"^{pattern}", new, name)
