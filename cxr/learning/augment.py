"""Random changes to batches of training films (N, 1, H, W) float32 in [0, 1]; every film its own.

All draws come from the generator passed in. Geometry and the change of size are one resampling, so a film is
interpolated once. Blur, sharpening and noise vary what resizing and compression leave behind: a network that can
tell the hospital by such marks learns the hospital.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Generator, Tensor
from torch.nn import functional as F


@dataclass(frozen=True)
class Strength:
    """How far each change may go."""

    rotation_deg: float = 10.0
    shift: float = 0.06  # of the side
    zoom: float = 0.15  # 1 - zoom .. 1 + zoom
    flip: float = 0.5  # probability
    contrast: float = 0.25  # 1 - contrast .. 1 + contrast
    brightness: float = 0.1
    gamma: float = 0.25  # exponent, log scale
    blur: float = 0.6  # share of the 3x3 mean that is blended in; negative half of the range sharpens
    noise: float = 0.03  # standard deviation at most


def standard(films: Tensor, size: int, generator: Generator) -> Tensor:
    """Geometry, grey scale, blur and noise. (N, 1, H, W) -> (N, 1, size, size), in [0, 1]."""
    strength = Strength()
    films = _move(films, size, strength, generator)
    films = _soften(films, strength, generator)
    films = _regrade(films, strength, generator)
    noise = torch.randn(films.shape, generator=generator)
    amount = _uniform(len(films), 0.0, strength.noise, generator)
    return (films + noise * amount.view(-1, 1, 1, 1)).clamp(0.0, 1.0)


def none(films: Tensor, size: int, generator: Generator) -> Tensor:
    """Resized only."""
    del generator
    return F.interpolate(films, size=(size, size), mode="area")


AUGMENTATIONS: dict[str, Callable[[Tensor, int, Generator], Tensor]] = {"standard": standard, "none": none}


def _uniform(count: int, low: float, high: float, generator: Generator) -> Tensor:
    return torch.empty(count).uniform_(low, high, generator=generator)


def _move(films: Tensor, size: int, strength: Strength, generator: Generator) -> Tensor:
    """Rotation, zoom, shift and mirroring about the centre; black comes in at the border."""
    n = len(films)
    angle = _uniform(n, -strength.rotation_deg, strength.rotation_deg, generator) * math.pi / 180
    zoom = _uniform(n, 1 - strength.zoom, 1 + strength.zoom, generator)
    mirror = torch.where(_uniform(n, 0, 1, generator) < strength.flip, -1.0, 1.0)
    shift = torch.empty(n, 2).uniform_(-2 * strength.shift, 2 * strength.shift, generator=generator)
    cos, sin = torch.cos(angle) * zoom, torch.sin(angle) * zoom
    rows = torch.stack([cos * mirror, -sin, shift[:, 0], sin * mirror, cos, shift[:, 1]], dim=1)
    grid = F.affine_grid(rows.view(n, 2, 3), [n, 1, size, size], align_corners=False)
    return F.grid_sample(films, grid, mode="bilinear", padding_mode="zeros", align_corners=False)


def _soften(films: Tensor, strength: Strength, generator: Generator) -> Tensor:
    """Blend with the 3x3 mean: a positive share blurs, a negative one sharpens."""
    share = _uniform(len(films), -strength.blur / 2, strength.blur, generator).view(-1, 1, 1, 1)
    mean = F.avg_pool2d(films, 3, 1, 1, count_include_pad=False)
    return films + share * (mean - films)


def _regrade(films: Tensor, strength: Strength, generator: Generator) -> Tensor:
    """Gamma, contrast about the film's mean, brightness."""
    n = len(films)
    gamma = torch.exp(_uniform(n, -strength.gamma, strength.gamma, generator)).view(-1, 1, 1, 1)
    contrast = _uniform(n, 1 - strength.contrast, 1 + strength.contrast, generator).view(-1, 1, 1, 1)
    brightness = _uniform(n, -strength.brightness, strength.brightness, generator).view(-1, 1, 1, 1)
    films = films.clamp(1e-4, 1.0) ** gamma
    mean = films.mean((2, 3), keepdim=True)
    return ((films - mean) * contrast + mean + brightness).clamp(0.0, 1.0)
