"""A film as browsers want it: PNG to look at, JPEG to recognise, raw pixels to work with."""

import io
import zlib
from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from cxr.films.film import Film
from cxr.reading.report import Report

PREVIEW_SIDE = 1024  # pixels: as much as a page shows before the raw pixels come
THUMBNAIL_SIDE = 160
PRINT_QUALITY = 90
STRIP_PIXELS = 2**20  # converted at a time, so that a large film is not held a second time
GZIP_WINDOW = 31  # zlib: the largest window, and a gzip header


def preview_png(film: Film) -> bytes:
    """8-bit grey PNG, its longer side at most PREVIEW_SIDE pixels."""
    return bytes(cv2.imencode(".png", _grey(film, PREVIEW_SIDE), [cv2.IMWRITE_PNG_COMPRESSION, 2])[1])


def thumbnail_jpeg(film: Film) -> bytes:
    """8-bit grey JPEG, its longer side at most THUMBNAIL_SIDE pixels."""
    step = max(1, max(film.pixels.shape) // (4 * THUMBNAIL_SIDE))  # 16 samples of each pixel are enough to recognise
    return _jpeg(_grey(replace(film, pixels=film.pixels[::step, ::step]), THUMBNAIL_SIDE), 85)


def print_jpeg(film: Film) -> bytes:
    """8-bit grey JPEG to print, its longer side at most PREVIEW_SIDE pixels."""
    return _jpeg(_grey(film, PREVIEW_SIDE), PRINT_QUALITY)


def overlay_print_jpeg(report: Report, label: str, film: Film) -> bytes:
    """Colour JPEG to print: the film with the heat map of a finding, as large as `print_jpeg`."""
    return _jpeg(report.overlay(label, shrunk(film, PREVIEW_SIDE)), PRINT_QUALITY)


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


def shrunk(film: Film, longest: int) -> Film:
    """The film with its longer side at most `longest` pixels."""
    height, width = film.pixels.shape
    scale = longest / max(height, width)
    if scale >= 1:
        return film
    size = max(1, round(width * scale)), max(1, round(height * scale))
    small = cv2.resize(film.pixels, size, interpolation=cv2.INTER_AREA)
    return replace(film, pixels=np.asarray(small, np.float32))


def _grey(film: Film, longest: int) -> NDArray[np.uint8]:
    return np.clip(np.round(shrunk(film, longest).pixels * 255), 0, 255).astype(np.uint8)


def _jpeg(pixels: NDArray[np.uint8], quality: int) -> bytes:
    """JPEG bytes of (H, W) grey or (H, W, 3) BGR pixels."""
    return bytes(cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, quality])[1])
