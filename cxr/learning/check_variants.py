"""Films -> the ways in which they arrive: turned, mirrored, as a negative, cut off, framed; with what was done."""

from dataclasses import dataclass

import torch
from torch import Generator, Tensor
from torch.nn import functional as F

from cxr.learning.augment import augment
from cxr.tasks import Augmentation

# Exposure, sharpness and noise as they vary from hospital to hospital; geometry is done here.
GRADES = Augmentation(
    rotation=0, shift=0, zoom=0, flip=0, brightness=0.15, contrast=0.4, gamma=0.6, blur=1.0, noise=0.05, speckle=0.05
)
TILT = 0.17  # radians: how far a film may lie askew and still be upright
CUT = (0.25, 0.55)  # share of the film's side that a cut takes away
TRIM = 0.06  # share that a film may lack on any side and still be whole
FRAME = 0.2  # widest frame around a film, share of its side


@dataclass(frozen=True)
class Variants:
    """Films as they might arrive, and what was done to each."""

    films: Tensor  # (N, 1, S, S) in [0, 1]
    inverted: Tensor  # (N,) 0 or 1
    mirrored: Tensor  # (N,) 0 or 1
    cut_off: Tensor  # (N,) 0 or 1
    turns: Tensor  # (N,) 0 to 3, quarters to the left


@dataclass(frozen=True)
class Shares:
    """How many of the films get each change."""

    inverted: float = 0.3
    mirrored: float = 0.4
    cut_off: float = 0.25
    turned: float = 0.5


def make_variants(squares: Tensor, size: int, shares: Shares, generator: Generator) -> Variants:
    """Films (N, 1, H, H) in [0, 1] -> variants of `size`, each film its own."""
    n = len(squares)
    mirrored, cut_off, inverted = (_drawn(n, s, generator) for s in (shares.mirrored, shares.cut_off, shares.inverted))
    turns = torch.where(
        _drawn(n, shares.turned, generator) > 0, torch.randint(1, 4, (n,), generator=generator), torch.zeros(n).long()
    )
    films = _windowed(squares, size, mirrored, cut_off, generator)
    films = torch.where(inverted.view(n, 1, 1, 1) > 0, 1 - films, films)
    films = spoiled(_turned(films, turns), generator)
    return Variants(films, inverted, mirrored, cut_off, turns)


def spoiled(squares: Tensor, generator: Generator) -> Tensor:
    """Frames, marks, exposure, sharpness and noise, which all pictures have alike."""
    films = _framed(squares, generator)
    films = _marked(films, generator)
    return augment(films, films.shape[-1], GRADES, generator)


def _drawn(count: int, share: float, generator: Generator) -> Tensor:
    return (torch.rand(count, generator=generator) < share).float()


def _uniform(generator: Generator, count: int, low: float, high: float) -> Tensor:
    return torch.rand(count, generator=generator) * (high - low) + low


def _windowed(squares: Tensor, size: int, mirrored: Tensor, cut_off: Tensor, generator: Generator) -> Tensor:
    """The part of each film that is left, a little askew, mirrored or not, by one resampling."""
    n = len(squares)
    ends = torch.stack([_uniform(generator, n, -TRIM, TRIM) for _ in range(4)], 1)  # what each side lacks
    one_side = F.one_hot(torch.randint(4, (n,), generator=generator), 4).float()
    all_sides = _drawn(n, 0.25, generator)[:, None]
    taken = _uniform(generator, n, *CUT)[:, None]
    ends = ends + cut_off[:, None] * torch.where(all_sides > 0, torch.full((n, 4), 0.5) * taken, one_side * taken)
    left, right, top, bottom = ends.unbind(1)
    half_width, half_height = (1 - left - right), (1 - top - bottom)
    sign = 1 - 2 * mirrored
    tilt = _uniform(generator, n, -TILT, TILT)
    cos, sin = torch.cos(tilt), torch.sin(tilt)
    theta = torch.stack(
        [sign * cos * half_width, -sign * sin * half_width, sign * (left - right),
         sin * half_height, cos * half_height, top - bottom], dim=1,
    ).view(n, 2, 3)  # fmt: skip
    grid = F.affine_grid(theta, [n, 1, size, size], align_corners=False)
    return F.grid_sample(squares, grid, mode="bilinear", padding_mode="border", align_corners=False)


def _turned(films: Tensor, turns: Tensor) -> Tensor:
    turned = films.clone()
    for quarters in (1, 2, 3):
        rows = turns == quarters
        turned[rows] = torch.rot90(films[rows], quarters, (2, 3))
    return turned


def _framed(films: Tensor, generator: Generator) -> Tensor:
    """Half of the films get a frame of one grey, mostly black, that is as wide on each pair of sides as padding is."""
    n, size = len(films), films.shape[-1]
    wide = _drawn(n, 0.5, generator)[:, None] * torch.stack([_uniform(generator, n, -FRAME, FRAME) for _ in "xy"], 1)
    x_share, y_share = (1 - 2 * wide.clamp(min=0)).unbind(1)
    zero = torch.zeros(n)
    theta = torch.stack([1 / x_share, zero, zero, zero, 1 / y_share, zero], 1).view(n, 2, 3)
    grid = F.affine_grid(theta, [n, 1, size, size], align_corners=False)
    grey = torch.where(_drawn(n, 0.7, generator) > 0, torch.zeros(n), torch.rand(n, generator=generator))
    grey = grey.view(n, 1, 1, 1)
    return F.grid_sample(films - grey, grid, mode="bilinear", padding_mode="zeros", align_corners=False) + grey


def _marked(films: Tensor, generator: Generator) -> Tensor:
    """A third of the films have a bright or dark box near an edge, as a marker or a burnt-in text is."""
    n, size = len(films), films.shape[-1]
    pixels = torch.arange(size) / size
    across = _drawn(n, 0.5, generator)
    at = torch.where(_drawn(n, 0.5, generator) > 0, _uniform(generator, n, 0, 0.1), _uniform(generator, n, 0.82, 0.95))
    along, length, thick = (_uniform(generator, n, *r) for r in ((0, 0.8), (0.05, 0.4), (0.02, 0.1)))
    near = (pixels >= at[:, None]) & (pixels < (at + thick)[:, None])  # (N, S)
    long = (pixels >= along[:, None]) & (pixels < (along + length)[:, None])
    box = torch.where(across.view(n, 1, 1) > 0, near[:, :, None] & long[:, None], long[:, :, None] & near[:, None])
    box = box & (_drawn(n, 0.33, generator) > 0).view(n, 1, 1)
    grey = (_drawn(n, 0.7, generator) * 0.9 + 0.05).view(n, 1, 1, 1)
    return torch.where(box[:, None], grey, films)
