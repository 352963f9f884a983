"""The films that the suite reads: a folder's, or drawn ones."""

from pathlib import Path

import cv2
import imagecodecs
import numpy as np

from cxr.films.read import read_film
from tests.films.encoders import encapsulated
from tests.phantom import dicom_dataset, phantom_jpeg, phantom_png, to_bytes

ROWS, COLUMNS, BITS = 2500, 2048, 12  # of a film as a detector gives it
NOISE = 8  # standard deviation in stored values, without which a film would compress too well
JPEG_2000 = "1.2.840.10008.1.2.4.90"


def png_film(folder: Path | None) -> bytes:
    """A PNG of 1024 px: the first of the folder, else a drawn one."""
    found = sorted(folder.glob("*.png")) if folder else []
    return found[0].read_bytes() if found else phantom_png(side=1024)


def detector_films(folder: Path | None) -> dict[str, bytes]:
    """The same film enlarged to ROWS x COLUMNS of BITS with noise, as DICOM: uncompressed, and in JPEG 2000."""
    pixels = read_film(png_film(folder)).pixels
    enlarged = cv2.resize(pixels, (COLUMNS, ROWS), interpolation=cv2.INTER_CUBIC) * (2**BITS - 1)
    noisy = enlarged + np.random.default_rng(0).normal(0, NOISE, enlarged.shape)
    stored = np.clip(noisy, 0, 2**BITS - 1).astype(np.uint16)
    dataset = dicom_dataset(stored, BITS)
    frame = imagecodecs.jpeg2k_encode(stored, codecformat="J2K", level=0, reversible=True, bitspersample=BITS)
    return {
        "DICOM, uncompressed": to_bytes(dataset),
        "DICOM, JPEG 2000": to_bytes(encapsulated(dataset, frame, JPEG_2000)),
    }


def folder_of_films(folder: Path | None, ending: str, drawn: Path, count: int = 8) -> Path:
    """`folder` where there is one, else `drawn` with as many as `count` of 1024 px."""
    if folder:
        return folder
    draw = {".png": phantom_png, ".jpg": phantom_jpeg}[ending]
    for seed in range(count):
        (drawn / f"{seed}{ending}").write_bytes(draw(side=1024, seed=seed))
    return drawn
