"""A film as browsers want it: PNG to look at, JPEG to recognise, raw pixels to work with."""

import io
import zlib
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from cxr.films.film import Film

PREVIEW_SIDE = 1024  # pixels: as much as a page shows before the raw pixels come
THUMBNAIL_SIDE = 160
STRIP_PIXELS = 2**20  # converted at a time, so that a large film is not held a second time
GZIP_WINDOW = 31  # zlib: the largest window, and a gzip header


def preview_png(film: Film) -> bytes:
    """8-bit grey PNG, its longer side at most PREVIEW_SIDE pixels."""
    return bytes(cv2.imencode(".png", _grey(film, PREVIEW_SIDE), [cv2.IMWRITE_PNG_COMPRESSION, 2])[1])


def thumbnail_jpeg(film: Film) -> bytes:
    """8-bit grey JPEG, its longer side at most THUMBNAIL_SIDE pixels."""
    return bytes(cv2.imencode(".jpg", _grey(film, THUMBNAIL_SIDE), [cv2.IMWRITE_JPEG_QUALITY, 85])[1])


@dataclass(frozen=True)
class RawPixels:
    """All pixels at full size, row by row, as uint16 little endian (0 black, 65535 white), gzip-compressed."""

    height: int
    width: int
    gzip: bytes


def raw_pixels(film: Film) -> RawPixels:
    height, width = film.pixels.shape
    rows = max(1, STRIP_PIXELS // width)
    packer, packed = zlib.compressobj(1, wbits=GZIP_WINDOW), io.BytesIO()
    for top in range(0, height, rows):
        strip = film.pixels[top : top + rows]
        packed.write(packer.compress(np.round(strip * 65535).astype("<u2").tobytes()))
    packed.write(packer.flush())
    return RawPixels(height, width, packed.getvalue())


def _grey(film: Film, longest: int) -> NDArray[np.uint8]:
    height, width = film.pixels.shape
    scale = min(1.0, longest / max(height, width))
    size = max(1, round(width * scale)), max(1, round(height * scale))
    small = cv2.resize(film.pixels, size, interpolation=cv2.INTER_AREA) if scale < 1 else film.pixels
    return np.clip(np.round(small * 255), 0, 255).astype(np.uint8)
