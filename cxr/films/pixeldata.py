"""One frame of DICOM Pixel Data (7FE0,0010), in whatever transfer syntax -> stored values.

What an encoded frame says of its own size is held against the DICOM header before its decoder allocates anything.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import gdcm
import jpeg_ls
import numpy as np
from numpy.typing import NDArray
from openjpeg.utils import decode as decode_jpeg_2000
from pydicom.encaps import get_frame
from pydicom.uid import UID
from rle.utils import decode_pixel_data as decode_rle

from cxr.errors import UnreadableFilm
from cxr.films.codestream import Codestream, find_jpeg2000, read_jpeg2000_header, read_jpeg_header
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
            f"Transfer Syntax (0002,0010) is {UID(frame.transfer_syntax).name}, which is not read. "
            "Convert the film to Explicit VR Little Endian, for instance with dcmconv or gdcmconv."
        )
    if encapsulated == (frame.transfer_syntax in NATIVE):
        raise UnreadableFilm(
            "Pixel Data (7FE0,0010) is not in the Transfer Syntax (0002,0010) that the header names, "
            f"{UID(frame.transfer_syntax).name}. Export the film again."
        )
    if not encapsulated:
        return _keep_luma(_unpack(data, frame), frame)
    encoded = get_frame(data, 0, number_of_frames=frame.frames)
    return _keep_luma(CODECS[frame.transfer_syntax](encoded, frame), frame)


def _unpack(data: bytes, frame: Frame) -> Stored:
    """Uncompressed values, PS3.5 8.1 and 8.2."""
    dtype = np.dtype(np.uint8 if frame.bits_allocated == 8 else np.uint16)
    count = frame.rows * frame.columns * frame.samples
    if len(data) < count * dtype.itemsize:
        raise UnreadableFilm(
            f"Pixel Data (7FE0,0010) has {len(data)} of {count * dtype.itemsize} bytes: the file was cut short. "
            "Send it again."
        )
    if frame.transfer_syntax == BIG_ENDIAN and (dtype.itemsize == 2 or frame.in_words):
        values = np.frombuffer(data, np.uint16, len(data) // 2).byteswap().view(dtype)[:count]
    else:
        values = np.frombuffer(data, dtype, count)
    # Before 1998 overlays lay in the unused bits, below or above the pixel.
    shift = frame.high_bit + 1 - frame.bits_stored
    return Stored(_arrange(values >> shift if shift > 0 else values, frame, frame.by_plane), frame.bits_stored)


def _arrange(values: NDArray[Any], frame: Frame, by_plane: bool) -> NDArray[Any]:
    """A flat array -> (H, W) or (H, W, 3)."""
    shape = (frame.rows, frame.columns)
    if values.size != frame.rows * frame.columns * frame.samples:
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
    size: dict[str, Any] = {"rows": frame.rows, "columns": frame.columns, "bits_allocated": frame.bits_allocated}
    decoded = decode_rle(encoded, version=2, **size)  # 2: as bytes, by plane, little endian
    values = np.frombuffer(decoded, np.uint8 if frame.bits_allocated == 8 else "<u2")
    return Stored(_arrange(values, frame, by_plane=True), frame.bits_stored)


def _decode_jpeg(encoded: bytes, frame: Frame) -> Stored:
    """Baseline, extended or lossless JPEG: 8-bit lossy by libjpeg, all others by GDCM."""
    header = read_jpeg_header(encoded)
    _validate_codestream(header, frame)
    if header.bits == 8 and frame.transfer_syntax in (JPEG_BASELINE, JPEG_EXTENDED):
        return Stored(decode_jpeg(encoded), 8)
    values = np.frombuffer(_decode_with_gdcm(encoded, header, frame), np.uint8 if header.bits <= 8 else "<u2")
    return Stored(_arrange(values, frame, by_plane=False), max(header.bits, frame.bits_stored))


def _decode_with_gdcm(encoded: bytes, header: Codestream, frame: Frame) -> bytes:
    # pydicom refuses 12-bit lossy JPEG through GDCM; against dcmdjpeg the two differ by nothing.
    fragment = gdcm.Fragment()
    fragment.SetByteStringValue(encoded)
    fragments = gdcm.SequenceOfFragments.New()
    fragments.AddFragment(fragment)
    element = gdcm.DataElement(gdcm.Tag(0x7FE0, 0x0010))
    element.SetValue(fragments.__ref__())
    image = gdcm.Image()
    image.SetNumberOfDimensions(2)
    image.SetDimensions((frame.columns, frame.rows, 1))
    image.SetDataElement(element)
    photometric = gdcm.PhotometricInterpretation.GetPIType(frame.photometric)
    image.SetPhotometricInterpretation(gdcm.PhotometricInterpretation(photometric))
    image.SetTransferSyntax(gdcm.TransferSyntax(gdcm.TransferSyntax.GetTSType(frame.transfer_syntax)))
    allocated = 8 if header.bits <= 8 else 16
    image.SetPixelFormat(gdcm.PixelFormat(frame.samples, allocated, header.bits, header.bits - 1, 0))
    buffer: str = image.GetBuffer()  # GDCM hands out char* as str
    return buffer.encode("utf-8", "surrogateescape")


def _decode_jpeg_ls(encoded: bytes, frame: Frame) -> Stored:
    header = read_jpeg_header(encoded)
    _validate_codestream(header, frame)
    decoded, info = jpeg_ls.decode_pixel_data(encoded)
    values = np.frombuffer(decoded, np.uint8 if header.bits <= 8 else "<u2")
    return Stored(_arrange(values, frame, info["interleave_mode"] == 0), max(header.bits, frame.bits_stored))


def _decode_jpeg_2000(encoded: bytes, frame: Frame) -> Stored:
    """JPEG 2000 and High-Throughput JPEG 2000; a colour transform of the codestream is undone by the decoder."""
    codestream = find_jpeg2000(encoded)
    header = read_jpeg2000_header(codestream)
    _validate_codestream(header, frame)
    decoded = decode_jpeg_2000(codestream)
    values = decoded.view(f"u{decoded.itemsize}").ravel()
    return Stored(_arrange(values, frame, by_plane=False), max(header.bits, frame.bits_stored))


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
