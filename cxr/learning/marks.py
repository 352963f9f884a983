"""Marks that hospitals leave beside the lungs: lettering and collimation, drawn on training films at random.

Where one class came from a machine that burns `KV59` or a large R into its films, a network learns the letters. They
tell it nothing once they stand on films of every class, and once a dark border has hidden the true ones.
"""

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Generator, Tensor

TEXTS = (
    "R", "L", "R", "L", "AP", "PA", "PORTABLE", "SUPINE", "ERECT", "KV{0}", "{1:02d}:{2:02d}:{3:02d}", "{1}.{2}",
)  # fmt: skip
FONTS = (
    cv2.FONT_HERSHEY_SIMPLEX,
    cv2.FONT_HERSHEY_PLAIN,
    cv2.FONT_HERSHEY_DUPLEX,
    cv2.FONT_HERSHEY_COMPLEX,
    cv2.FONT_HERSHEY_TRIPLEX,
)
MOST_TEXTS = 3  # on one film
EDGE = 0.22  # share of the width at either side in which letters begin
HEIGHTS = (0.02, 0.1)  # of capital letters, share of the film's height
BORDER = 0.15  # the widest collimated border, share of the side
CAP_HEIGHT = 21  # pixels of a capital letter of these fonts at scale 1, about


def collimate(films: Tensor, probability: float, generator: Generator) -> Tensor:
    """Films (N, 1, H, W), each with this probability dark beyond up to BORDER of the side, at each side its own."""
    if not probability:
        return films
    height, width = films.shape[-2:]
    draws = torch.rand(5, len(films), 1, 1, 1, generator=generator, device=films.device)
    top, bottom, left, right = BORDER * draws[:4]
    rows = (torch.arange(height, device=films.device).view(1, 1, -1, 1) + 0.5) / height
    columns = (torch.arange(width, device=films.device).view(1, 1, 1, -1) + 0.5) / width
    outside = (rows < top) | (rows > 1 - bottom) | (columns < left) | (columns > 1 - right)
    return films.masked_fill(outside & (draws[4] < probability), 0.0)


def letter(films: Tensor, probability: float, generator: Generator) -> Tensor:
    """Films (N, 1, H, W) in [0, 1], each with this probability under up to MOST_TEXTS bright texts at its sides."""
    if not probability:
        return films
    draws = torch.rand(len(films), 1 + MOST_TEXTS, 8, generator=generator, device=films.device).cpu().numpy()
    stamps = [_stamp(films.shape[-2:], draw[1:], draw[0, 0] < probability) for draw in draws]
    return torch.maximum(films, torch.from_numpy(np.stack(stamps)[:, None]).to(films))


def _stamp(shape: torch.Size, draws: NDArray[np.float32], lettered: bool) -> NDArray[np.float32]:
    """(H, W) in [0, 1], black but for the texts: the first always, each other one by half a chance."""
    canvas = np.zeros(tuple(shape), np.uint8)
    for number, draw in enumerate(draws if lettered else ()):
        if not number or draw[7] < 0.5:
            _write(canvas, draw)
    return np.divide(canvas, 255, dtype=np.float32)


def _write(canvas: NDArray[np.uint8], draw: NDArray[np.float32]) -> None:
    """`draw`: eight numbers of [0, 1), for text, font, height, thickness, column, row, grey and what the text says."""
    height, width = canvas.shape
    numbers = (int(40 + 60 * draw[7]), int(24 * draw[7]), int(60 * draw[5]), int(60 * draw[4]))
    text = TEXTS[int(len(TEXTS) * draw[0])].format(*numbers)
    least, most = HEIGHTS
    scale = height * (least + (most - least) * draw[2] ** 2) / CAP_HEIGHT
    column = 2 * EDGE * draw[4]
    if column >= EDGE:  # the other half lies at the right side
        column += 1 - 2 * EDGE
    place = (int(width * column), int(height * (0.03 + 0.96 * draw[5])))
    grey = int(255 * (0.6 + 0.4 * draw[6]))
    font = FONTS[int(len(FONTS) * draw[1])]
    cv2.putText(canvas, text, place, font, scale, grey, 1 + int(2 * draw[3] * scale), cv2.LINE_AA)
