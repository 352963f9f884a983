"""DICOM -> Film: what the header says of the image, its greys, the film and the patient."""

import math
import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.datadict import dictionary_description, tag_for_keyword
from pydicom.dataset import Dataset
from pydicom.multival import MultiValue
from pydicom.pixels.processing import apply_color_lut

from cxr.errors import UnreadableFilm
from cxr.films.dicomfile import DicomFile, damage_is_unreadable, parse_dicom
from cxr.films.film import Film, Identity, Limits, Metadata, shown
from cxr.films.grey import WINDOWS, Lut, Rendering, Window, render
from cxr.films.pixeldata import BIG_ENDIAN, NATIVE, Frame, Stored, decode_pixel_data
from cxr.films.raster import colour_notes, luminance

_YEARS = {"D": 1 / 365.25, "W": 7 / 365.25, "M": 1 / 12, "Y": 1.0}
_SAMPLES = {  # Photometric Interpretation -> Samples per Pixel, PS3.3 C.7.6.3.1.2
    "MONOCHROME1": 1,
    "MONOCHROME2": 1,
    "PALETTE COLOR": 1,
    "RGB": 3,
    "YBR_FULL": 3,
    "YBR_FULL_422": 3,
    "YBR_ICT": 3,
    "YBR_RCT": 3,
}


def read_dicom(data: bytes, limits: Limits) -> Film:
    """DICOM file, in any transfer syntax of `pixeldata` -> Film, dense bone white.

    Raises:
        NotAFilm: not a DICOM file.
        TooLarge: beyond the limits, by its header.
        UnreadableFilm: damaged, without pixels, or encoded in a way that is not read.
    """
    return film_of(parse_dicom(data, limits), limits)


def film_of(file: DicomFile, limits: Limits) -> Film:
    """Decodes and renders the first frame of a parsed file; raises as `read_dicom`."""
    with damage_is_unreadable():
        frame = _describe_frame(file)
        limits.validate_image(frame.rows, frame.columns, frame.frames, frame.samples * frame.bits_allocated // 8)
        element = file.dataset["PixelData"]
        stored = decode_pixel_data(element.value, frame, encapsulated=element.is_undefined_length)
        pixels, notes = _render(stored, frame, file)
        if frame.frames > 1:
            notes = (f"first of {frame.frames} frames", *notes)
        return Film(pixels, replace(describe(file), notes=notes), identify(file))


def describe(file: DicomFile) -> Metadata:
    """What the header says of the film, without its pixels and without naming the patient."""
    with damage_is_unreadable():
        dataset = file.dataset
        spacing, calibrated = _pixel_spacing(dataset)
        sex = _text(dataset, "PatientSex")
        return Metadata(
            format="DICOM",
            bits=_integer(dataset, "BitsStored", 0),
            modality=_code(dataset, "Modality"),
            body_part=_code(dataset, "BodyPartExamined"),
            view_position=_code(dataset, "ViewPosition"),
            age_years=_age_years(_text(dataset, "PatientAge")),
            sex=sex if sex in ("M", "F", "O") else None,
            pixel_spacing_mm=spacing,
            pixel_spacing_calibrated=calibrated,
            transfer_syntax=file.transfer_syntax,
        )


def identify(file: DicomFile) -> Identity:
    """Who and what the film belongs to."""
    dataset = file.dataset
    return Identity(
        patient_id=_text(dataset, "PatientID"),
        patient_name=_text(dataset, "PatientName"),
        accession_number=_text(dataset, "AccessionNumber"),
        study_date=_text(dataset, "StudyDate"),
        study_instance_uid=_text(dataset, "StudyInstanceUID"),
        series_instance_uid=_text(dataset, "SeriesInstanceUID"),
        sop_instance_uid=_text(dataset, "SOPInstanceUID"),
    )


def _describe_frame(file: DicomFile) -> Frame:
    dataset = file.dataset
    if "PixelData" not in dataset:
        raise UnreadableFilm(
            "The DICOM file has no Pixel Data (7FE0,0010): it was cut short or holds no image. Send the film itself."
        )
    bits_allocated = _integer(dataset, "BitsAllocated")
    bits_stored = _integer(dataset, "BitsStored", bits_allocated)
    frame = Frame(
        transfer_syntax=file.transfer_syntax,
        rows=_integer(dataset, "Rows"),
        columns=_integer(dataset, "Columns"),
        samples=_integer(dataset, "SamplesPerPixel", 1),
        photometric=_code(dataset, "PhotometricInterpretation") or "MONOCHROME2",
        bits_allocated=bits_allocated,
        bits_stored=bits_stored,
        high_bit=_integer(dataset, "HighBit", bits_stored - 1),
        by_plane=_integer(dataset, "PlanarConfiguration", 0) == 1,
        frames=max(_integer(dataset, "NumberOfFrames", 1), 1),
        signed=_integer(dataset, "PixelRepresentation", 0) == 1,
        in_words=dataset["PixelData"].VR == "OW",
    )
    _validate_frame(frame)
    return frame


def _validate_frame(frame: Frame) -> None:
    if frame.samples != _SAMPLES.get(frame.photometric):
        raise UnreadableFilm(
            f"Photometric Interpretation (0028,0004) is {shown(frame.photometric)} with {frame.samples} samples per "
            "pixel (0028,0002); films have one grey sample, or three of RGB or YBR. Export the film again."
        )
    if frame.bits_allocated not in (8, 16):
        raise UnreadableFilm(f"Bits Allocated (0028,0100) is {frame.bits_allocated}; films have 8 or 16.")
    if not 1 <= frame.bits_stored <= frame.high_bit + 1 <= frame.bits_allocated:
        raise UnreadableFilm(
            f"Bits Stored (0028,0101) is {frame.bits_stored}, High Bit (0028,0102) is {frame.high_bit}: impossible in "
            f"the {frame.bits_allocated} bits of Bits Allocated (0028,0100). Export the film again."
        )
    if frame.samples == 3 and frame.photometric == "YBR_FULL_422" and frame.transfer_syntax in NATIVE:
        raise UnreadableFilm("Photometric Interpretation (0028,0004) is YBR_FULL_422, uncompressed. Export it in grey.")


def _render(stored: Stored, frame: Frame, file: DicomFile) -> tuple[NDArray[np.float32], tuple[str, ...]]:
    """Stored values -> ((H, W) float32 in [0, 1], notes)."""
    values = stored.values
    if frame.photometric == "PALETTE COLOR":
        values = apply_color_lut(values, file.dataset)
    elif frame.samples == 1:
        rendering, notes = _describe_rendering(file, stored.bits, frame.bits_stored)
        return render(values, rendering), notes
    # Colour has no modality LUT and no window, PS3.3 C.7.6.3.1.2: its values are already those of a display.
    bits = 8 * values.itemsize if frame.photometric == "PALETTE COLOR" else stored.bits
    grey = np.divide(luminance(values, "RGB"), np.float32(2**bits - 1), dtype=np.float32)
    return grey, colour_notes(values)


def _describe_rendering(file: DicomFile, bits: int, bits_stored: int) -> tuple[Rendering, tuple[str, ...]]:
    dataset = file.dataset
    signed = _integer(dataset, "PixelRepresentation", 0) == 1
    if signed:
        bits = bits_stored  # where the sign is, whatever the codestream's precision
    slope, intercept = _number(dataset, "RescaleSlope", 1.0), _number(dataset, "RescaleIntercept", 0.0)
    if slope == 0:
        raise UnreadableFilm("Rescale Slope (0028,1053) is 0, which leaves no greys. Export the film again.")
    voi, voi_notes = _describe_voi(file, bits, signed)
    raw = _code(dataset, "PresentationIntentType") == "FOR PROCESSING"  # PS3.3 C.8.11.1: not meant to be looked at
    raw_notes = ("raw detector image: Presentation Intent Type (0008,0068) is FOR PROCESSING",) if raw else ()
    inverted, shape_notes = _is_inverted(dataset)
    modality_luts = _luts(file, "ModalityLUTSequence", signed)
    rendering = Rendering(
        bits=bits,
        signed=signed,
        slope=slope,
        intercept=intercept,
        modality_lut=modality_luts[0] if modality_luts else None,
        voi=voi,
        padding=_padding(dataset),
        inverted=inverted,
    )
    return rendering, (*raw_notes, *voi_notes, *shape_notes)


def _describe_voi(file: DicomFile, bits: int, signed: bool) -> tuple[Lut | Window | None, tuple[str, ...]]:
    """The first VOI LUT, or else the first window: what the writer put first is what its station shows first."""
    luts = _luts(file, "VOILUTSequence", signed)
    centres, widths = _numbers(file.dataset, "WindowCenter"), _numbers(file.dataset, "WindowWidth")
    if luts:
        others = len(luts) + len(widths) - 1
        return luts[0], (f"first VOI LUT used, of {len(luts)} and {len(widths)} windows",) if others else ()
    if not centres or not widths:
        # 8-bit values are taken as they are, see `grey`.
        return None, ("no window in the header: scaled from the least to the greatest value",) if bits > 8 else ()
    window, notes = _window(centres[0], widths[0], _code(file.dataset, "VOILUTFunction") or "LINEAR")
    several = (f"first of {len(widths)} windows used",) if window and len(widths) > 1 else ()
    return window, notes + several


def _window(centre: float, width: float, function: str) -> tuple[Window | None, tuple[str, ...]]:
    """A window, or None with the reason when its width means nothing: some stations write 0 for "none set"."""
    # PS3.3 C.11.2.1.2: at least 1 for LINEAR, above 0 for the other functions.
    if width < 1 if function not in ("LINEAR_EXACT", "SIGMOID") else width <= 0:
        return None, (f"Window Width (0028,1051) is {width:g}, no window: scaled from the least to the greatest value",)
    if function in WINDOWS:
        return Window(centre, width, function), ()
    # PS3.3 C.11.2.1.3 leaves further functions open; a reader that does not know one takes LINEAR.
    return Window(centre, width), (f"VOI LUT Function (0028,1056) is {shown(function)}, unknown: read as LINEAR",)


def _is_inverted(dataset: Dataset) -> tuple[bool, tuple[str, ...]]:
    """Presentation LUT Shape (2050,0020) decides where it is present (PS3.3 C.8.11.3, C.11.6), else MONOCHROME1."""
    shape, monochrome1 = _code(dataset, "PresentationLUTShape"), dataset.PhotometricInterpretation == "MONOCHROME1"
    if shape not in ("IDENTITY", "INVERSE"):
        return monochrome1, ()
    contradicts = monochrome1 and shape == "IDENTITY"
    note = "MONOCHROME1, but Presentation LUT Shape (2050,0020) is IDENTITY: not inverted"
    return shape == "INVERSE", (note,) if contradicts else ()


def _luts(file: DicomFile, keyword: str, signed: bool) -> list[Lut]:
    return [_lut(item, keyword, file.transfer_syntax == BIG_ENDIAN, signed) for item in file.dataset.get(keyword) or ()]


def _lut(item: Dataset, keyword: str, big_endian: bool, signed: bool) -> Lut:
    """LUT Descriptor (0028,3002) and LUT Data (0028,3006), PS3.3 C.11.1.1 and C.11.2.1.1."""
    count, first, bits = (int(value) for value in item["LUTDescriptor"].value)
    count = count % 65536 or 65536  # 0 stands for 65,536
    if signed and first > 32767:
        first -= 65536  # written as US where SS was meant
    value = item["LUTData"].value
    if isinstance(value, bytes):
        dtype = np.dtype("u1" if bits <= 8 and len(value) < 2 * count else ">u2" if big_endian else "<u2")
        entries = np.frombuffer(value, dtype).astype(np.uint16)
    else:
        entries = np.atleast_1d(np.asarray(value, np.int64)).astype(np.uint16)
    if len(entries) < count or not 8 <= bits <= 16:
        raise UnreadableFilm(
            f"The {keyword} has {len(entries)} of {count} entries of {bits} bits (0028,3002). Export the film again."
        )
    return Lut(first, entries[:count], bits)


def _padding(dataset: Dataset) -> tuple[int, int] | None:
    """Pixel Padding Value (0028,0120), with Pixel Padding Range Limit (0028,0121) as the other end of a range."""
    if dataset.get("PixelPaddingValue") is None:
        return None
    value = _integer(dataset, "PixelPaddingValue")
    limit = _integer(dataset, "PixelPaddingRangeLimit", value)
    return min(value, limit), max(value, limit)


def _pixel_spacing(dataset: Dataset) -> tuple[tuple[float, float] | None, bool]:
    """(row, column) in mm, and whether it was corrected for magnification (PS3.3 10.7.1.1)."""
    at_detector = _pair(dataset, "ImagerPixelSpacing")  # (0018,1164)
    spacing = _pair(dataset, "PixelSpacing")  # (0028,0030)
    if spacing is None:
        return at_detector, False
    named = _code(dataset, "PixelSpacingCalibrationType") in ("GEOMETRY", "FIDUCIAL")  # (0028,0A02)
    return spacing, named or (at_detector is not None and spacing != at_detector)


def _age_years(age: str | None) -> float | None:
    """Age String of PS3.5 6.2: "045Y", "018M", "003W", "010D"."""
    match = re.fullmatch(r"(\d{1,3})([DWMY])", age or "")
    return int(match[1]) * _YEARS[match[2]] if match else None


def _text(dataset: Dataset, keyword: str) -> str | None:
    value = dataset.get(keyword)
    first = value[0] if isinstance(value, MultiValue) and value else value
    return str(first if first is not None else "").strip(" \0") or None


def _code(dataset: Dataset, keyword: str) -> str | None:
    text = _text(dataset, keyword)
    return text.upper() if text else None


def _numbers(dataset: Dataset, keyword: str) -> list[float]:
    """All values of an element as finite numbers; none when it is absent or empty.

    Raises:
        UnreadableFilm: a value is no number.
    """
    try:
        value = dataset.get(keyword)
        numbers = [] if value is None or value == "" else [float(v) for v in (value if _is_many(value) else [value])]
    except (TypeError, ValueError, OverflowError) as error:
        raise UnreadableFilm(_no_number(keyword)) from error
    if not all(math.isfinite(number) for number in numbers):
        raise UnreadableFilm(_no_number(keyword))
    return numbers


def _is_many(value: Any) -> bool:
    return isinstance(value, Sequence | MultiValue) and not isinstance(value, str | bytes)


def _no_number(keyword: str) -> str:
    return f"{_name(keyword)} holds no number that can be used. Export the film again."


def _name(keyword: str) -> str:
    """ "WindowWidth" -> "Window Width (0028,1051)"."""
    tag = tag_for_keyword(keyword) or 0
    return f"{dictionary_description(tag)} ({tag >> 16:04X},{tag & 0xFFFF:04X})"


def _number(dataset: Dataset, keyword: str, default: float | None = None) -> float:
    numbers = _numbers(dataset, keyword)
    if not numbers and default is None:
        raise UnreadableFilm(f"{_name(keyword)} is missing from the DICOM header. Export the film again.")
    return numbers[0] if numbers else float(default or 0)


def _integer(dataset: Dataset, keyword: str, default: int | None = None) -> int:
    return int(_number(dataset, keyword, default))


def _pair(dataset: Dataset, keyword: str) -> tuple[float, float] | None:
    numbers = _numbers(dataset, keyword)
    return (numbers[0], numbers[1]) if len(numbers) == 2 and min(numbers) > 0 else None
