"""Random changes to batches of training films (N, 1, H, W) float32 in [0, 1]; every film its own.

All draws come from the generator passed in, on whose device the films lie. Geometry and the change of size are one
resampling, so a film is interpolated once. Blur, sharpening, noise and JPEG vary what resizing and compression leave
behind: a network that can tell the hospital by such marks learns the hospital.
"""

import math

import torch
from torch import Generator, Tensor
from torch.nn import functional as F

from cxr.learning.marks import collimate, letter
from cxr.tasks import Augmentation

JPEG_BLOCK = 8  # pixels
JPEG_QUALITIES = (30, 95)
# How coarsely JPEG of quality 50 keeps each frequency of a block (ITU-T T.81, table K.1).
LUMINANCE = (
    (16, 11, 10, 16, 24, 40, 51, 61),
    (12, 12, 14, 19, 26, 58, 60, 55),
    (14, 13, 16, 24, 40, 57, 69, 56),
    (14, 17, 22, 29, 51, 87, 80, 62),
    (18, 22, 37, 56, 68, 109, 103, 77),
    (24, 35, 55, 64, 81, 104, 113, 92),
    (49, 64, 78, 87, 103, 121, 120, 101),
    (72, 92, 95, 98, 112, 100, 103, 99),
)


def augment(films: Tensor, size: int, how: Augmentation, generator: Generator) -> Tensor:
    """(N, 1, H, W) -> (N, 1, size, size), in [0, 1], each film changed as far as `how` allows."""
    films = _move(films, size, how, generator)
    films = letter(collimate(films, how.collimation, generator), how.lettering, generator)
    films = _soften(films, how, generator)
    films = _regrade(films, how, generator)
    films = _roughen(films, how, generator).clamp(0.0, 1.0)
    films = _compress(films, how, generator)
    return _erase(films, how, generator)


def mixup(films: Tensor, labels: Tensor, alpha: float, generator: Generator) -> tuple[Tensor, Tensor]:
    """Blend each film and its labels with another's, by a share from Beta(alpha, alpha) (Zhang et al. 2018).

    A label that either film does not know is not known.
    """
    if not alpha:
        return films, labels
    partner = torch.randperm(len(films), generator=generator, device=generator.device)
    share = _beta(len(films), alpha, generator)
    blended = share.view(-1, 1, 1, 1) * films + (1 - share).view(-1, 1, 1, 1) * films[partner]
    return blended, share[:, None] * labels + (1 - share)[:, None] * labels[partner]


def _beta(count: int, alpha: float, generator: Generator) -> Tensor:
    """Beta(alpha, alpha) as a ratio of two gamma draws, which torch makes from a generator."""
    draws = torch._standard_gamma(torch.full((2, count), alpha, device=generator.device), generator)
    return draws[0] / draws.sum(0).clamp(min=1e-12)


def _uniform(count: int, low: float, high: float, generator: Generator) -> Tensor:
    """(count, 1, 1, 1)."""
    return torch.empty(count, 1, 1, 1, device=generator.device).uniform_(low, high, generator=generator)


def _normal(films: Tensor, generator: Generator) -> Tensor:
    """Noise of the shape of `films`."""
    return torch.randn(films.shape, generator=generator, device=generator.device)


def _move(films: Tensor, size: int, how: Augmentation, generator: Generator) -> Tensor:
    """Rotation, zoom, stretching, shift and mirroring about the centre; black comes in at the border."""
    n = len(films)
    angle = _uniform(n, -how.rotation, how.rotation, generator).view(n) * math.pi / 180
    zoom = _uniform(n, 1 - how.zoom, 1 + how.zoom, generator).view(n)
    mirror = torch.where(_uniform(n, 0, 1, generator).view(n) < how.flip, -1.0, 1.0)
    shift = torch.empty(n, 2, device=films.device).uniform_(-2 * how.shift, 2 * how.shift, generator=generator)
    cos, sin = torch.cos(angle) * zoom, torch.sin(angle) * zoom
    rows = torch.stack([cos * mirror, -sin, shift[:, 0], sin * mirror, cos, shift[:, 1]], dim=1)
    if how.stretch:  # along the sides of the film as it was resized to a square, the shift with it
        wider = torch.exp(_uniform(n, -how.stretch / 2, how.stretch / 2, generator).view(n, 1))
        rows = torch.cat([rows[:, :3] / wider, rows[:, 3:] * wider], dim=1)
    grid = F.affine_grid(rows.view(n, 2, 3), [n, 1, size, size], align_corners=False)
    return F.grid_sample(films, grid, mode="bilinear", padding_mode="zeros", align_corners=False)


def _soften(films: Tensor, how: Augmentation, generator: Generator) -> Tensor:
    """Blend with the 3x3 mean: a positive share blurs, a negative one sharpens."""
    share = _uniform(len(films), -how.blur / 2, how.blur, generator)
    mean = F.avg_pool2d(films, 3, 1, 1, count_include_pad=False)
    return films + share * (mean - films)


def _regrade(films: Tensor, how: Augmentation, generator: Generator) -> Tensor:
    """Gamma, contrast about the film's mean, brightness."""
    n = len(films)
    gamma = torch.exp(_uniform(n, -how.gamma, how.gamma, generator))
    contrast = _uniform(n, 1 - how.contrast, 1 + how.contrast, generator)
    brightness = _uniform(n, -how.brightness, how.brightness, generator)
    films = films.clamp(1e-4, 1.0) ** gamma
    mean = films.mean((2, 3), keepdim=True)
    return ((films - mean) * contrast + mean + brightness).clamp(0.0, 1.0)


def _roughen(films: Tensor, how: Augmentation, generator: Generator) -> Tensor:
    """Gaussian noise, and speckle: noise in proportion to the pixel."""
    n = len(films)
    noise = _uniform(n, 0.0, how.noise, generator) * _normal(films, generator)
    speckle = _uniform(n, 0.0, how.speckle, generator) * _normal(films, generator)
    return films + noise + films * speckle


def _compress(films: Tensor, how: Augmentation, generator: Generator) -> Tensor:
    """With probability `how.jpeg`, lose what JPEG of a quality from JPEG_QUALITIES loses."""
    if not how.jpeg:
        return films
    n = len(films)
    quality = _uniform(n, *JPEG_QUALITIES, generator)
    chosen = _uniform(n, 0, 1, generator) < how.jpeg
    return torch.where(chosen, jpeg(films, quality), films)


def jpeg(films: Tensor, quality: Tensor) -> Tensor:
    """Films (N, 1, H, W) in [0, 1] after JPEG of `quality` (N, 1, 1, 1): the frequencies of each block of 8 x 8 pixels
    rounded to multiples of T.81's table, which is scaled as libjpeg does.
    """
    height, width = films.shape[-2:]
    padded = F.pad(films * 255 - 128, (0, -width % JPEG_BLOCK, 0, -height % JPEG_BLOCK), mode="replicate")
    blocks = padded.unfold(2, JPEG_BLOCK, JPEG_BLOCK).unfold(3, JPEG_BLOCK, JPEG_BLOCK)  # (N, 1, rows, columns, 8, 8)
    scale = torch.where(quality < 50, 5000 / quality, 200 - 2 * quality)
    table = torch.tensor(LUMINANCE, device=films.device, dtype=films.dtype)
    steps = ((table * scale + 50) / 100).floor().clamp(1, 255)[:, :, None, None]  # (N, 1, 1, 1, 8, 8)
    cosines = _cosines(films)
    kept = torch.round(cosines @ blocks @ cosines.T / steps) * steps
    lossy = (cosines.T @ kept @ cosines).transpose(3, 4).reshape(padded.shape)
    return ((lossy[..., :height, :width] + 128) / 255).clamp(0.0, 1.0)


def _cosines(films: Tensor) -> Tensor:
    """(8, 8) orthonormal DCT-II: rows are frequencies."""
    pixels = torch.arange(JPEG_BLOCK, device=films.device, dtype=films.dtype)
    waves = torch.cos(math.pi / JPEG_BLOCK * (pixels + 0.5) * pixels[:, None]) * math.sqrt(2 / JPEG_BLOCK)
    waves[0] /= math.sqrt(2)
    return waves


def _erase(films: Tensor, how: Augmentation, generator: Generator) -> Tensor:
    """With probability `how.erasing`, grey out a box of 2 to 20 % of the film (Zhong et al. 2020)."""
    n, side = len(films), films.shape[-1]
    area = _uniform(n, 0.02, 0.2, generator)
    ratio = torch.exp(_uniform(n, -1.0, 1.0, generator))
    height, width = (area * ratio).sqrt() * side, (area / ratio).sqrt() * side
    top = _uniform(n, 0, 1, generator) * (side - height)
    left = _uniform(n, 0, 1, generator) * (side - width)
    pixels = torch.arange(side, device=films.device)
    rows, columns = pixels.view(1, 1, -1, 1), pixels.view(1, 1, 1, -1)
    inside = (rows >= top) & (rows < top + height) & (columns >= left) & (columns < left + width)
    erased = inside & (_uniform(n, 0, 1, generator) < how.erasing)
    return torch.where(erased, films.mean((2, 3), keepdim=True), films)
