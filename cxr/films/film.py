"""What a film is, once it has been read."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from cxr.errors import TooLarge, UnreadableFilm
from cxr.settings import MIB, Settings, variable

MIN_SIDE = 64  # pixels; below this no anatomy is left to read


def shown(text: str) -> str:
    """A file name or a value of a header as it may stand in a sentence: no control characters, not 300 letters."""
    printable = "".join(letter if letter.isprintable() else "?" for letter in text)
    return f"'{printable if len(printable) <= 80 else printable[:77] + '...'}'"


@dataclass(frozen=True)
class Limits:
    """What a film file may cost before it is decoded. Held against the header, never against decoded pixels."""

    max_bytes: int = Settings.max_film_bytes
    max_pixels: int = Settings.max_film_pixels
    max_inflated_bytes: int = Settings.max_inflated_bytes

    @classmethod
    def of(cls, settings: Settings) -> "Limits":
        return cls(settings.max_film_bytes, settings.max_film_pixels, settings.max_inflated_bytes)

    def validate_file(self, size_bytes: int) -> None:
        """Raises TooLarge when a file has more bytes than a film may have."""
        if size_bytes > self.max_bytes:
            raise TooLarge(
                f"The file has {size_bytes / MIB:.1f} MiB; the limit is {self.max_bytes / MIB:g} MiB. "
                f"Send a smaller file, or raise {variable('max_film_bytes')}."
            )

    def validate_image(self, rows: int, columns: int, frames: int, bytes_per_pixel: int) -> None:
        """Raises TooLarge or UnreadableFilm when an image is, by its header, too large or too small to read."""
        size = f"{columns} x {rows} pixels" + (f" x {frames} frames" if frames > 1 else "")
        pixels = rows * columns * frames
        if pixels > self.max_pixels:
            raise TooLarge(
                f"The film is {size}; the limit is {self.max_pixels / 1e6:g} megapixels. "
                f"Send it at a smaller size, or raise {variable('max_film_pixels')}."
            )
        if pixels * bytes_per_pixel > self.max_inflated_bytes:
            raise TooLarge(
                f"The film is {size} and unpacks to {pixels * bytes_per_pixel / MIB:.0f} MiB; the limit is "
                f"{self.max_inflated_bytes / MIB:g} MiB. Send it in grey, or raise {variable('max_inflated_bytes')}."
            )
        if min(rows, columns) < MIN_SIDE:
            raise UnreadableFilm(
                f"The film is {size}; the shortest side that can be read is {MIN_SIDE} pixels. Send it at full size."
            )


@dataclass(frozen=True)
class Metadata:
    """What is known of a film without naming the patient. Unknown is None."""

    format: str  # "PNG", "JPEG" or "DICOM"
    bits: int  # bits stored per pixel before scaling to [0, 1]
    modality: str | None = None  # (0008,0060): "CR", "DX", ...
    body_part: str | None = None  # (0018,0015)
    view_position: str | None = None  # (0018,5101): "PA", "AP", ...
    age_years: float | None = None  # (0010,1010)
    sex: str | None = None  # (0010,0040): "M", "F", "O"
    pixel_spacing_mm: tuple[float, float] | None = None  # (row, column); at the detector unless calibrated
    pixel_spacing_calibrated: bool = False  # True when (0028,0030) was corrected for magnification, PS3.3 10.7.1.1
    transfer_syntax: str | None = None  # DICOM transfer syntax UID
    notes: tuple[str, ...] = ()  # what a reader of the film should know, e.g. "first of 3 frames"


@dataclass(frozen=True)
class Identity:
    """Who and what a DICOM film belongs to. Kept apart from `Metadata` so that it is easy to leave out."""

    patient_id: str | None = None  # (0010,0020)
    patient_name: str | None = None  # (0010,0010)
    accession_number: str | None = None  # (0008,0050)
    study_date: str | None = None  # (0008,0020), YYYYMMDD
    study_instance_uid: str | None = None  # (0020,000D)
    series_instance_uid: str | None = None  # (0020,000E)
    sop_instance_uid: str | None = None  # (0008,0018)


@dataclass(frozen=True)
class Film:
    """A chest film. `pixels` is (H, W) float32 in [0, 1], dense bone white."""

    pixels: NDArray[np.float32]
    metadata: Metadata
    identity: Identity = field(default_factory=Identity, repr=False)
