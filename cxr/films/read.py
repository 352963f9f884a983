"""A file or its bytes -> Film, decided by content, never by name."""

import os
from pathlib import Path

from cxr.films.film import Film, Limits
from cxr.films.raster import read_raster


def read_film(source: str | os.PathLike[str] | bytes, limits: Limits = Limits()) -> Film:
    """Path or bytes of a PNG, JPEG or DICOM file -> Film."""
    data = source if isinstance(source, bytes) else Path(source).read_bytes()
    return read_raster(data, limits)
