"""What is no chest film: pictures from folders, and drawn documents, charts, slices and textures."""

import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from cxr.films.prepare import fit_square
from cxr.learning.tables import walk_films

Picture = NDArray[np.float32]  # (H, W) in [0, 1]
LEAST_SIDE = 40  # pixels; what is smaller shows nothing
MOST_FRAMES = 12  # of one file
RADIOGRAPHS = {"CR", "DX", "DR", "RG", "RTDOSE", "SEG"}  # modalities that are films, or no pictures at all
ALIKE = 0.98  # correlation of two small copies from which two pictures are one
FONTS = (
    cv2.FONT_HERSHEY_SIMPLEX, cv2.FONT_HERSHEY_PLAIN, cv2.FONT_HERSHEY_DUPLEX, cv2.FONT_HERSHEY_COMPLEX,
    cv2.FONT_HERSHEY_TRIPLEX, cv2.FONT_HERSHEY_COMPLEX_SMALL,
)  # fmt: skip


def read_pictures(folder: Path) -> dict[str, Picture]:
    """Name -> picture, of each PNG, JPEG and DICOM file below `folder` that can be read and is no radiograph."""
    found: dict[str, Picture] = {}
    for path in walk_films(folder):
        modality, frames = dicom_frames(path) if path.suffix == ".dcm" else ("", _raster(path))
        frames = [] if modality in RADIOGRAPHS else frames
        for number, frame in enumerate(frames[:: max(1, len(frames) // MOST_FRAMES)][:MOST_FRAMES]):
            if min(frame.shape) >= LEAST_SIDE and frame.std() > 0.01:
                found[f"{path.name}#{number}" if len(frames) > 1 else path.name] = frame
    return found


def _raster(path: Path) -> list[Picture]:
    image = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
    return [] if image is None else [(image / 255).astype(np.float32)]


def dicom_frames(path: Path) -> tuple[str, list[Picture]]:
    """Modality, and frames from their 1st to their 99th percentile; none of what cannot be read."""
    import pydicom

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            dataset = pydicom.dcmread(path, force=True)
            pixels = np.asarray(dataset.pixel_array, np.float32)
        except Exception:  # test data of a reader is full of files that cannot be read
            return "", []
    grey = pixels.mean(axis=-1) if dataset.get("SamplesPerPixel", 1) == 3 else pixels
    return dataset.get("Modality", ""), [_stretched(frame) for frame in (grey if grey.ndim == 3 else grey[None])]


def _stretched(frame: Picture) -> Picture:
    low, high = np.percentile(frame, [1, 99])
    return np.asarray(np.clip((frame - low) / max(high - low, 1e-6), 0, 1), np.float32)


def without(pictures: dict[str, Picture], others: Sequence[Picture]) -> dict[str, Picture]:
    """Those that are not among the others, nor copies of them in another file format, and each once."""
    seen = [_small(other) for other in others]
    kept: dict[str, Picture] = {}
    for name, picture in pictures.items():
        small = _small(picture)
        if all(abs(float(small @ other)) < ALIKE for other in seen):
            kept[name] = picture
            seen.append(small)
    return kept


def _small(picture: Picture) -> NDArray[np.float64]:
    """(576,) of length one and mean zero."""
    small = cv2.resize(picture, (24, 24), interpolation=cv2.INTER_AREA).astype(np.float64).ravel()
    small -= small.mean()
    return np.asarray(small / max(float(np.linalg.norm(small)), 1e-9))


def pool(pictures: Sequence[Picture], films: NDArray[np.uint8], count: int, side: int, seed: int) -> NDArray[np.uint8]:
    """`count` squares (count, side, side) that are no chest films, half from pictures, the rest drawn or torn films."""
    random = np.random.default_rng(seed)
    squares = np.empty((count, side, side), np.uint8)
    for number in range(count):
        picture = _any(pictures, films, random)
        squares[number] = np.rint(fit_square(picture, side, "squash")[0] * 255)
    return squares


def _any(pictures: Sequence[Picture], films: NDArray[np.uint8], random: np.random.Generator) -> Picture:
    kind = random.random()
    if kind < 0.55:
        return cut_out(pictures[int(random.integers(len(pictures)))], random)
    if kind < 0.9:
        return DRAWN[tuple(DRAWN)[random.integers(len(DRAWN))]](random)
    return torn(films[random.integers(len(films))], random)


def cut_out(picture: Picture, random: np.random.Generator) -> Picture:
    """A part of a picture at any place, turned, mirrored, as a negative, or made symmetric as a chest is."""
    height, width = picture.shape
    share = random.uniform(0.35, 1.0, 2)
    rows, columns = max(16, int(height * share[0])), max(16, int(width * share[1]))
    top, left = random.integers(height - rows + 1), random.integers(width - columns + 1)
    part = np.rot90(picture[top : top + rows, left : left + columns], int(random.integers(4)))
    if random.random() < 0.25:
        part = np.asarray((part + part[:, ::-1]) / 2, np.float32)
    return np.ascontiguousarray(1 - part if random.random() < 0.35 else part)


def torn(film: NDArray[np.uint8], random: np.random.Generator) -> Picture:
    """A film that is none any more: its tiles in another order, or a small piece of it."""
    picture = (film / 255).astype(np.float32)
    side = len(picture)
    if random.random() < 0.3:
        piece = int(side * random.uniform(0.12, 0.25))
        top, left = random.integers(side - piece, size=2)
        return picture[top : top + piece, left : left + piece]
    n = int(random.integers(2, 6))
    tiles = picture[: side // n * n, : side // n * n].reshape(n, side // n, n, side // n).swapaxes(1, 2)
    shuffled = random.permutation(tiles.reshape(n * n, side // n, side // n)).reshape(n, n, side // n, side // n)
    return np.ascontiguousarray(shuffled.swapaxes(1, 2).reshape(side // n * n, side // n * n))


def _grey(random: np.random.Generator, low: float = 0.0, high: float = 1.0) -> int:
    return int(255 * random.uniform(low, high))


def _as_picture(page: NDArray[np.uint8]) -> Picture:
    return (page / 255).astype(np.float32)


def _paper(random: np.random.Generator) -> tuple[NDArray[np.uint8], int]:
    """A page of one grey, and the grey of its ink."""
    shape = random.integers(200, 420, 2)
    dark = random.random() < 0.35
    page = np.full(shape, _grey(random, 0.0, 0.25) if dark else _grey(random, 0.75, 1.0), np.uint8)
    return page, _grey(random, 0.7, 1.0) if dark else _grey(random, 0.0, 0.4)


def draw_document(random: np.random.Generator) -> Picture:
    """Lines of text in columns, with headings, boxes and bars as pages and windows have them."""
    page, ink = _paper(random)
    height, width = page.shape
    for _ in range(random.integers(0, 4)):
        _box(page, random, ink)
    scale, columns = random.uniform(0.25, 0.9), int(random.integers(1, 4))
    step = int(26 * scale) + int(random.integers(3, 14))
    for column in range(columns):
        left = column * width // columns + int(random.integers(4, 20))
        for bottom in range(int(random.integers(10, 60)), height, step):
            if random.random() < 0.85:
                _write(page, random, (left, bottom), scale * (1.6 if random.random() < 0.08 else 1), ink)
    return _as_picture(page)


def _write(page: NDArray[np.uint8], random: np.random.Generator, at: tuple[int, int], scale: float, ink: int) -> None:
    letters = random.integers(33, 126, random.integers(4, 40))
    text = "".join(" " if random.random() < 0.17 else chr(letter) for letter in letters)
    cv2.putText(page, text, at, FONTS[random.integers(len(FONTS))], scale, ink, 1, cv2.LINE_AA)


def _box(page: NDArray[np.uint8], random: np.random.Generator, ink: int) -> None:
    height, width = page.shape
    (left, right), (top, bottom) = np.sort(random.integers(0, width, 2)), np.sort(random.integers(0, height, 2))
    filled = random.random() < 0.5
    corners = (int(left), int(top)), (int(right), int(bottom))
    cv2.rectangle(page, *corners, _grey(random) if filled else ink, -1 if filled else 1)


def draw_chart(random: np.random.Generator) -> Picture:
    """Axes with curves, bars or points."""
    page, ink = _paper(random)
    height, width = page.shape
    x = np.linspace(30, width - 10, 80)
    for _ in range(random.integers(1, 5)):
        y = height * (0.5 + 0.4 * np.interp(x, np.linspace(0, width, 9), random.uniform(-1, 1, 9)))
        _plot(page, np.stack([x, y], axis=1).astype(np.int32), random)
    cv2.line(page, (30, 10), (30, height - 20), ink)
    cv2.line(page, (30, height - 20), (width - 10, height - 20), ink)
    for bottom in range(20, height, 40):
        _write(page, random, (2, bottom), 0.3, ink)
    return _as_picture(page)


def _plot(page: NDArray[np.uint8], points: NDArray[np.int32], random: np.random.Generator) -> None:
    grey, kind, every = _grey(random), random.integers(3), int(random.integers(2, 8))
    if kind == 0:
        cv2.polylines(page, [points], False, grey, int(random.integers(1, 4)), cv2.LINE_AA)
    for x, y in points[::every].tolist() if kind else []:
        if kind == 1:
            cv2.rectangle(page, (x, y), (x + 6, len(page) - 20), grey, -1)
        else:
            cv2.circle(page, (x, y), 3, grey, -1)


def draw_slice(random: np.random.Generator) -> Picture:
    """Ellipses in ellipses on black, as a slice through a body or a head."""
    page = np.zeros((256, 256), np.uint8)
    centre, axes, angle = random.uniform(100, 156, 2), random.uniform(50, 122, 2), random.uniform(-15, 15)
    _ellipse(page, centre, axes, angle, _grey(random, 0.3, 1.0))
    _ellipse(page, centre, axes * random.uniform(0.75, 0.95), angle, _grey(random, 0.1, 1.0))
    for _ in range(random.integers(2, 14)):
        at = centre + random.uniform(-0.6, 0.6, 2) * axes
        _ellipse(page, at, axes * random.uniform(0.05, 0.4, 2), random.uniform(0, 180), _grey(random))
    if random.random() < 0.3:  # the table of a scanner
        cv2.ellipse(page, (128, 150), (120, 90), 0, 20, 160, _grey(random, 0.2, 0.6), 2)
    soft = cv2.GaussianBlur(_as_picture(page), (0, 0), random.uniform(0.3, 3))
    noisy = soft + random.normal(0, random.uniform(0, 0.08), soft.shape)
    return np.asarray(np.clip(noisy, 0, 1), np.float32)


def _ellipse(page: NDArray[np.uint8], at: NDArray[Any], axes: NDArray[Any], angle: float, grey: int) -> None:
    centre, size = (int(at[0]), int(at[1])), (max(1, int(axes[0])), max(1, int(axes[1])))
    cv2.ellipse(page, centre, size, angle, 0, 360, grey, -1, cv2.LINE_AA)


def draw_texture(random: np.random.Generator) -> Picture:
    """Noise whose power falls with frequency, as that of natural pictures does (Field 1987)."""
    side = 160
    fy, fx = np.fft.fftfreq(side)[:, None], np.fft.rfftfreq(side)[None]
    falling = np.maximum(np.hypot(fy, fx), 1 / side) ** -random.uniform(0.0, 2.2)
    noise = np.fft.irfft2(np.fft.rfft2(random.standard_normal((side, side))) * falling, s=(side, side))
    return _stretched(noise.astype(np.float32))


def draw_leaves(random: np.random.Generator) -> Picture:
    """Shapes that cover one another: the edges of photographs (the "dead leaves" of Lee, Mumford and Huang 2001)."""
    side = 192
    page = np.full((side, side), _grey(random), np.uint8)
    for _ in range(random.integers(5, 120)):
        at, size = random.uniform(0, side, 2), np.minimum(side / 2, 4 / random.uniform(0.02, 1, 2))
        if random.random() < 0.5:
            _ellipse(page, at, size, random.uniform(0, 180), _grey(random))
        else:
            _box(page, random, _grey(random))
    return np.asarray(cv2.GaussianBlur(_as_picture(page), (0, 0), random.uniform(0.3, 4)), np.float32)


def draw_shade(random: np.random.Generator) -> Picture:
    """One slope or one bright spot, with noise."""
    side = 128
    y, x = np.mgrid[0:side, 0:side] / side - random.uniform(0.2, 0.8, 2)[:, None, None]
    slope = random.normal(size=2)
    shade = slope[0] * x + slope[1] * y if random.random() < 0.5 else np.exp(-(x**2 + y**2) / random.uniform(0.02, 0.5))
    return _stretched((shade + random.normal(0, random.uniform(0, 0.2), shade.shape)).astype(np.float32))


DRAWN: dict[str, Callable[[np.random.Generator], Picture]] = {
    "document": draw_document,
    "chart": draw_chart,
    "slice": draw_slice,
    "texture": draw_texture,
    "leaves": draw_leaves,
    "shade": draw_shade,
}
