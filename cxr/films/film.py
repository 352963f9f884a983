"""What a film is, once it has been read."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from cxr.settings import Settings


@dataclass(frozen=True)
class Limits:
    """What a film file may cost before it is decoded. Held against the header, never against decoded pixels."""

    max_bytes: int = Settings.max_film_bytes
    max_pixels: int = Settings.max_film_pixels
    max_inflated_bytes: int = Settings.max_inflated_bytes

    @classmethod
    def of(cls, settings: Settings) -> "Limits":
        return cls(settings.max_film_bytes, settings.max_film_pixels, settings.max_inflated_bytes)


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
