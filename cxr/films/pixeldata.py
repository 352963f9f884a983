"""One frame of DICOM Pixel Data (7FE0,0010), in whatever transfer syntax -> stored values.

What an encoded frame says of its own size is held against the DICOM header before its decoder allocates anything.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.encaps import get_frame
from pydicom.uid import UID

from cxr.errors import UnreadableFilm
from cxr.films.codestream import Codestream, find_jpeg2000, read_jpeg2000_header, read_jpeg_header
from cxr.films.film import shown
from cxr.films.isolation import Decoded, decode_isolated
from cxr.films.raster import decode_jpeg

LITTLE_ENDIAN_IMPLICIT = "1.2.840.10008.1.2"
LITTLE_ENDIAN = "1.2.840.10008.1.2.1"
DEFLATED = "1.2.840.10008.1.2.1.99"
BIG_ENDIAN = "1.2.840.10008.1.2.2"
JPEG_BASELINE = "1.2.840.10008.1.2.4.50"
JPEG_EXTENDED = "1.2.840.10008.1.2.4.51"
NATIVE = (LITTLE_ENDIAN_IMPLICIT, LITTLE_ENDIAN, DEFLATED, BIG_ENDIAN)


@dataclass(frozen=True)
class Frame:
    """The Image Pixel module, PS3.3 C.7.6.3, of the frame to be decoded."""

    transfer_syntax: str
    rows: int
    columns: int
    samples: int  # per pixel: 1 or 3
    photometric: str
    bits_allocated: int  # 8 or 16
    bits_stored: int
    high_bit: int
    by_plane: bool  # Planar Configuration (0028,0006) is 1: RRR... GGG... BBB...
    frames: int
    signed: bool = False  # Pixel Representation (0028,0103) is 1
    in_words: bool = False  # the value representation is OW, so that big endian swaps pairs of 8-bit pixels


@dataclass(frozen=True)
class Stored:
    """Stored values: (H, W) grey, or (H, W, 3) RGB, unsigned as they lie in memory."""

    values: NDArray[Any]
    bits: int


def decode_pixel_data(data: bytes, frame: Frame, encapsulated: bool) -> Stored:
    """Pixel Data (7FE0,0010) -> the stored values of its first frame.

    Raises:
        UnreadableFilm: too short, of another size than the header says, or in a transfer syntax that is not read.
    """
    if frame.transfer_syntax not in NATIVE and frame.transfer_syntax not in CODECS:
        raise UnreadableFilm(
            f"Transfer Syntax (0002,0010) is {_syntax_name(frame)}, which is not read. "
            "Convert the film to Explicit VR Little Endian, for instance with dcmconv or gdcmconv."
        )
    if encapsulated == (frame.transfer_syntax in NATIVE):
        raise UnreadableFilm(
            "Pixel Data (7FE0,0010) is not in the Transfer Syntax (0002,0010) that the header names, "
            f"{_syntax_name(frame)}. Export the film again."
        )
    if not encapsulated:
        return _keep_luma(_unpack(data, frame), frame)
    encoded = get_frame(data, 0, number_of_frames=frame.frames)
    return _keep_luma(CODECS[frame.transfer_syntax](encoded, frame), frame)


def _syntax_name(frame: Frame) -> str:
    return shown(UID(frame.transfer_syntax).name)


def _unpack(data: bytes, frame: Frame) -> Stored:
    """Uncompressed values, PS3.5 8.1 and 8.2."""
    dtype = np.dtype(np.uint8 if frame.bits_allocated == 8 else np.uint16)
    count = _count(frame)
    if len(data) < count * dtype.itemsize:
        raise UnreadableFilm(
            f"Pixel Data (7FE0,0010) has {len(data)} of {count * dtype.itemsize} bytes: the file was cut short. "
            "Send it again."
        )
    if frame.transfer_syntax == BIG_ENDIAN and (dtype.itemsize == 2 or frame.in_words):
        values = np.frombuffer(data, np.uint16, len(data) // 2).byteswap().view(dtype)[:count]
    else:
        values = np.frombuffer(data, dtype, count)
    return Stored(_drop_low_bits(_arrange(values, frame, frame.by_plane), frame), frame.bits_stored)


def _drop_low_bits(values: NDArray[Any], frame: Frame) -> NDArray[Any]:
    """Old writers put overlays into the unused bits below or above the pixel; `grey` masks those above."""
    shift = frame.high_bit + 1 - frame.bits_stored
    return values >> shift if shift > 0 else values


def _arrange(values: NDArray[Any], frame: Frame, by_plane: bool) -> NDArray[Any]:
    """A flat array -> (H, W) or (H, W, 3)."""
    shape = (frame.rows, frame.columns)
    if values.size != _count(frame):
        raise UnreadableFilm(
            f"Pixel Data (7FE0,0010) unpacks to {values.size} values, where {frame.columns} x {frame.rows} pixels "
            "are promised: the file was cut short. Send it again."
        )
    if frame.samples == 1:
        return values.reshape(shape)
    return np.moveaxis(values.reshape(3, *shape), 0, 2) if by_plane else values.reshape(*shape, 3)


def _keep_luma(stored: Stored, frame: Frame) -> Stored:
    """Y of an image that is stored as YBR_FULL is its luminance; every other colour space has become RGB."""
    stays_ybr = frame.photometric.startswith("YBR_FULL") and frame.transfer_syntax not in (JPEG_BASELINE, JPEG_EXTENDED)
    if stored.values.ndim == 3 and stays_ybr:
        return Stored(np.ascontiguousarray(stored.values[..., 0]), stored.bits)
    return stored


def _validate_codestream(codestream: Codestream, frame: Frame) -> None:
    found = (codestream.rows, codestream.columns, codestream.samples)
    if found != (frame.rows, frame.columns, frame.samples) or codestream.bits > frame.bits_allocated:
        raise UnreadableFilm(
            f"The compressed image has {codestream.columns} x {codestream.rows} pixels of {codestream.samples} x "
            f"{codestream.bits} bits, the DICOM header says {frame.columns} x {frame.rows} of {frame.samples} x "
            f"{frame.bits_allocated}. Export the film again."
        )


def _decode_rle(encoded: bytes, frame: Frame) -> Stored:
    size = {"rows": frame.rows, "columns": frame.columns, "bits_allocated": frame.bits_allocated}
    decoded = decode_isolated("rle", encoded, _count(frame), **size)
    return Stored(_drop_low_bits(_values(decoded, frame.bits_allocated, frame), frame), frame.bits_stored)


def _decode_jpeg(encoded: bytes, frame: Frame) -> Stored:
    """Baseline, extended or lossless JPEG: 8-bit lossy by libjpeg, all others by GDCM."""
    header = read_jpeg_header(encoded)
    _validate_codestream(header, frame)
    if header.bits == 8 and frame.transfer_syntax in (JPEG_BASELINE, JPEG_EXTENDED):
        return Stored(decode_jpeg(encoded, stored_as_rgb=frame.photometric == "RGB"), 8)
    kind = {"photometric": frame.photometric, "transfer_syntax": frame.transfer_syntax}
    return _stored(decode_isolated("gdcm", encoded, _count(frame), **kind, **asdict(header)), header.bits, frame)


def _decode_jpeg_ls(encoded: bytes, frame: Frame) -> Stored:
    header = read_jpeg_header(encoded)
    _validate_codestream(header, frame)
    return _stored(decode_isolated("jpeg-ls", encoded, _count(frame)), header.bits, frame)


def _decode_jpeg_2000(encoded: bytes, frame: Frame) -> Stored:
    codestream = find_jpeg2000(encoded)
    header = read_jpeg2000_header(codestream)
    _validate_codestream(header, frame)
    stored = _stored(decode_isolated("jpeg-2000", codestream, _count(frame)), header.bits, frame)
    return _clip_overshoot(stored, frame) if frame.signed and header.signed else stored


def _clip_overshoot(stored: Stored, frame: Frame) -> Stored:
    """A lossy codestream of 16 bits goes beyond 12 stored ones: cut to these, -2049 would turn from black to white."""
    if stored.bits == frame.bits_stored:
        return stored
    limit = 2 ** (frame.bits_stored - 1)
    signed = stored.values.view(f"i{stored.values.itemsize}")
    return Stored(np.clip(signed, -limit, limit - 1).view(stored.values.dtype), stored.bits)


def _count(frame: Frame) -> int:
    return frame.rows * frame.columns * frame.samples


def _stored(decoded: Decoded, bits: int, frame: Frame) -> Stored:
    """A codestream may have more bits than the header says are stored, and then uses them."""
    return Stored(_values(decoded, bits, frame), max(bits, frame.bits_stored))


def _values(decoded: Decoded, bits: int, frame: Frame) -> NDArray[Any]:
    return _arrange(np.frombuffer(decoded.values, np.uint8 if bits <= 8 else "<u2"), frame, decoded.by_plane)


CODECS: dict[str, Callable[[bytes, Frame], Stored]] = {
    "1.2.840.10008.1.2.5": _decode_rle,
    JPEG_BASELINE: _decode_jpeg,
    JPEG_EXTENDED: _decode_jpeg,
    "1.2.840.10008.1.2.4.57": _decode_jpeg,  # lossless
    "1.2.840.10008.1.2.4.70": _decode_jpeg,  # lossless, first-order prediction
    "1.2.840.10008.1.2.4.80": _decode_jpeg_ls,  # lossless
    "1.2.840.10008.1.2.4.81": _decode_jpeg_ls,  # near-lossless
    "1.2.840.10008.1.2.4.90": _decode_jpeg_2000,  # lossless
    "1.2.840.10008.1.2.4.91": _decode_jpeg_2000,
    "1.2.840.10008.1.2.4.201": _decode_jpeg_2000,  # high throughput, lossless
    "1.2.840.10008.1.2.4.202": _decode_jpeg_2000,  # high throughput, lossless, by resolution
    "1.2.840.10008.1.2.4.203": _decode_jpeg_2000,  # high throughput
}
