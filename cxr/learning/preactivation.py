"""ResNet v2: units of BatchNorm, ReLU, convolution, so that the shortcut stays clear (He et al. 2016b)."""

import torch
from torch import Tensor, nn


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
