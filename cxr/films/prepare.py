"""Film -> model input: the one path of testing, serving and batch reading, and of validation in training.

A film is made square (padded, or squashed where the task says so), resized and normalised. The `Box` that comes
with the array leads from the model's square back to the film, so that a heat map lies where the model looked.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from cxr.tasks import Preprocessing


@dataclass(frozen=True)
class Box:
    """Where the film lies in the model's square, in fractions of the square's side: [left, right) x [top, bottom)."""

    left: float = 0.0
    top: float = 0.0
    right: float = 1.0
    bottom: float = 1.0


def prepare(pixels: NDArray[np.float32], how: Preprocessing) -> tuple[NDArray[np.float32], Box]:
    """Film pixels (H, W) in [0, 1] -> ((1, C, S, S) float32 normalised by mean and std, box)."""
    square, box = fit_square(pixels, how.size, how.fit)
    return normalise(square[None], how), box


def fit_square(pixels: NDArray[np.float32], size: int, fit: str) -> tuple[NDArray[np.float32], Box]:
    """Film pixels (H, W) -> ((size, size) float32 in [0, 1], box).

    "pad" keeps the aspect ratio and pads the short side with black on both sides; "squash" stretches.
    The film is resized before it is padded, so that padding costs nothing at full resolution.
    """
    if fit == "squash":
        return _resize(pixels, size, size), Box()
    height, width = pixels.shape
    scale = size / max(height, width)
    rows, columns = max(1, round(height * scale)), max(1, round(width * scale))
    top, left = (size - rows) // 2, (size - columns) // 2
    square = np.zeros((size, size), np.float32)
    square[top : top + rows, left : left + columns] = _resize(pixels, rows, columns)
    return square, Box(left / size, top / size, (left + columns) / size, (top + rows) / size)


def normalise(squares: NDArray[np.float32], how: Preprocessing) -> NDArray[np.float32]:
    """Squares (N, S, S) in [0, 1] -> (N, C, S, S): grey repeated to C channels, minus mean, over std."""
    mean = np.asarray(how.mean, np.float32)[:, None, None]
    std = np.asarray(how.std, np.float32)[:, None, None]
    return (squares[:, None] - mean) / std


def _resize(pixels: NDArray[np.float32], rows: int, columns: int) -> NDArray[np.float32]:
    if pixels.shape == (rows, columns):
        return pixels
    # INTER_AREA averages what it drops, so a fine grid or noise does not alias; enlarging needs interpolation.
    shrinking = rows <= pixels.shape[0] and columns <= pixels.shape[1]
    method = cv2.INTER_AREA if shrinking else cv2.INTER_LINEAR
    return np.clip(cv2.resize(pixels, (columns, rows), interpolation=method), 0.0, 1.0)
