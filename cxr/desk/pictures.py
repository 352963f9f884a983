"""A film as browsers want it: PNG to look at, JPEG to recognise, raw pixels to work with."""

import gzip

import cv2
import numpy as np
from numpy.typing import NDArray

from cxr.films.film import Film

PREVIEW_SIDE = 1024  # pixels: as much as a page shows before the raw pixels come
THUMBNAIL_SIDE = 160


def preview_png(film: Film) -> bytes:
    """8-bit grey PNG, its longer side at most PREVIEW_SIDE pixels."""
    return bytes(cv2.imencode(".png", _grey(film, PREVIEW_SIDE), [cv2.IMWRITE_PNG_COMPRESSION, 2])[1])


def thumbnail_jpeg(film: Film) -> bytes:
    """8-bit grey JPEG, its longer side at most THUMBNAIL_SIDE pixels."""
    return bytes(cv2.imencode(".jpg", _grey(film, THUMBNAIL_SIDE), [cv2.IMWRITE_JPEG_QUALITY, 85])[1])


def raw_pixels(film: Film) -> bytes:
    """All pixels at full size, row by row, as uint16 little endian (0 black, 65535 white), gzip-compressed."""
    return gzip.compress(np.round(film.pixels * 65535).astype("<u2").tobytes(), compresslevel=1)


def _grey(film: Film, longest: int) -> NDArray[np.uint8]:
    height, width = film.pixels.shape
    scale = min(1.0, longest / max(height, width))
    size = max(1, round(width * scale)), max(1, round(height * scale))
    small = cv2.resize(film.pixels, size, interpolation=cv2.INTER_AREA) if scale < 1 else film.pixels
    return np.clip(np.round(small * 255), 0, 255).astype(np.uint8)
