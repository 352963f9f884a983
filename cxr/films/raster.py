"""PNG and JPEG -> Film.

Only the parts of a file that make pixels reach a decoder: no texts, profiles, thumbnails or animations, which carry
the bombs and the identifiers. What is cut off in a file is seen here, since decoders may fill it in with grey.
"""

import io
import struct
import zlib
from collections.abc import Iterator
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL.JpegImagePlugin import JpegImageFile

from cxr.errors import NotAFilm, UnreadableFilm
from cxr.films.codestream import jpeg_segments, read_jpeg_header
from cxr.films.film import Film, Limits, Metadata

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
JPEG_SIGNATURE = b"\xff\xd8\xff"

_PNG_PIXEL_CHUNKS = {b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND"}
_GREY, _PALETTE = 0, 3
_PNG_KINDS = {(_GREY, 1), (_GREY, 2), (_GREY, 4), (_GREY, 8), (_GREY, 16), (2, 8), (2, 16)}  # colour type, bits: 11.2.1
_PNG_KINDS |= {(_PALETTE, 1), (_PALETTE, 2), (_PALETTE, 4), (_PALETTE, 8), (4, 8), (4, 16), (6, 8), (6, 16)}
_MAX_CHUNKS = 100_000
_DAMAGED_PNG = "The PNG file is truncated or damaged ({0}). Export or send it again."

_JPEG_APP0, _JPEG_APP1, _JPEG_APP14, _JPEG_COMMENT = 0xE0, 0xE1, 0xEE, 0xFE
_COLOUR_NOTE = "colour image, read by its luminance"


def read_raster(data: bytes, limits: Limits) -> Film:
    """PNG (8 or 16 bit; grey, RGB, RGBA, palette) or JPEG (8 bit) -> Film.

    Raises:
        NotAFilm: neither PNG nor JPEG.
        TooLarge: beyond the limits, by its header.
        UnreadableFilm: truncated, damaged, too small, or of a kind that is not read.
    """
    limits.validate_file(len(data))
    if data.startswith(PNG_SIGNATURE):
        return _read_png(data, limits)
    if data.startswith(JPEG_SIGNATURE):
        return _read_jpeg(data, limits)
    raise NotAFilm("The file is neither a PNG nor a JPEG image. Send the film as PNG, JPEG or DICOM.")


def luminance(image: NDArray[Any], order: str) -> NDArray[Any]:
    """Grey (H, W), colour (H, W, 3) or colour with alpha (H, W, 4) -> (H, W), in the same range of values.

    `order` is "RGB" or "BGR". The weights are those of ITU-R BT.601; equal channels keep their value exactly.
    """
    if image.ndim == 2:
        return image
    to_grey = cv2.COLOR_RGB2GRAY if order == "RGB" else cv2.COLOR_BGR2GRAY
    grey = cv2.cvtColor(np.ascontiguousarray(image[..., :3]), to_grey)
    if image.shape[2] < 4 or image[..., 3].min() == np.iinfo(image.dtype).max:
        return grey
    # What is transparent was cut out of the film, and outside a film is black: the same as the padding of `prepare`.
    return grey * (image[..., 3] / np.float32(np.iinfo(image.dtype).max))


def colour_notes(image: NDArray[Any]) -> tuple[str, ...]:
    """Says so when the channels of an image differ, i.e. it may be a photograph or a rendering of a film."""
    if image.ndim == 2:
        return ()
    colours = image[::8, ::8, :3]  # enough to tell a photograph from a film
    spread = colours.max(axis=2) - colours.min(axis=2)
    return (_COLOUR_NOTE,) if spread.mean() > 0.02 * np.iinfo(image.dtype).max else ()


def decode_jpeg(data: bytes, *, stored_as_rgb: bool = False) -> NDArray[np.uint8]:
    """8-bit JPEG -> (H, W) or (H, W, 3) RGB, not turned by its EXIF orientation.

    `stored_as_rgb`: somebody who knows, i.e. a DICOM header, says that the three samples are RGB. Only an Adobe segment
    in the JPEG itself goes before that; without either, three samples are YCbCr (JFIF 1.02).

    Raises:
        UnreadableFilm: truncated, damaged, or CMYK.
    """
    # Pillow has the error for a truncated file that OpenCV lacks, but parses EXIF with warnings: it gets no EXIF.
    image = _load_jpeg(b"".join(_jpeg_pixel_parts(data)), stored_as_rgb)
    if image.mode not in ("L", "RGB", "YCbCr"):
        raise UnreadableFilm(f"The JPEG file is in {image.mode} colours. Save it in grey or RGB.")
    return np.asarray(image)


def _load_jpeg(data: bytes, stored_as_rgb: bool) -> JpegImageFile:
    # The class itself, not Image.open: that guesses formats and has a pixel limit of its own, with a warning.
    try:
        image = JpegImageFile(io.BytesIO(data))
        if stored_as_rgb and _is_taken_for_ycbcr(image):
            image.draft("YCbCr", image.size)  # what libjpeg takes for YCbCr is handed out as it is stored
        image.load()
    except MemoryError:
        raise
    except Exception as error:  # Pillow has no family of errors: OSError, SyntaxError, struct.error, IndexError, ...
        raise UnreadableFilm("The JPEG image is truncated or damaged. Export or send it again.") from error
    return image


def _is_taken_for_ycbcr(image: JpegImageFile) -> bool:
    """Would libjpeg turn three samples into RGB by its own guess (`default_decompress_parms` of jdapimin.c)?"""
    components = bytes(component for component, *_ in image.layer)
    return "adobe_transform" not in image.info and ("jfif" in image.info or components != b"RGB")


def _read_png(data: bytes, limits: Limits) -> Film:
    chunks = _png_pixel_chunks(data)
    columns, rows, depth, colour = struct.unpack_from(">IIBB", chunks[0], 8)
    if (colour, depth) not in _PNG_KINDS:
        raise UnreadableFilm(_DAMAGED_PNG.format(f"colour type {colour} with {depth} bits"))
    # OpenCV unpacks palettes to three or four samples, grey with alpha to four.
    unpacked = 1 if colour == _GREY else 4
    limits.validate_image(rows, columns, 1, unpacked * max(depth // 8, 1))
    image = _decode_png(b"".join([PNG_SIGNATURE, *chunks]))
    bits, notes = _stored_bits(image) if depth == 16 else (8 if colour == _PALETTE else depth, ())
    # Depths below 8 are unpacked to the full 0 to 255.
    pixels = _scale(luminance(image, "BGR"), max(bits, 8))
    return Film(pixels, Metadata(format="PNG", bits=bits, notes=colour_notes(image) + notes))


def _decode_png(data: bytes) -> NDArray[Any]:
    """(H, W), (H, W, 3) BGR or (H, W, 4) BGRA of 8 or 16 bits: OpenCV keeps 16-bit colours, Pillow does not."""
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    except cv2.error as error:  # a side beyond OpenCV's own limit of 2**20
        raise UnreadableFilm(_DAMAGED_PNG.format("its pixels cannot be unpacked")) from error
    if image is None:
        raise UnreadableFilm(_DAMAGED_PNG.format("its pixels cannot be unpacked"))
    return image


def _png_pixel_chunks(data: bytes) -> list[bytes]:
    """The chunks that make pixels, the header first (PNG 5.6)."""
    chunks = [chunk for chunk in _png_chunks(data) if _kind(chunk) in _PNG_PIXEL_CHUNKS]
    kinds = [_kind(chunk) for chunk in chunks]
    if kinds[0] != b"IHDR" or kinds.count(b"IHDR") != 1 or len(chunks[0]) != 25:
        raise UnreadableFilm(_DAMAGED_PNG.format("its header is not where it must be"))
    return [_checked_chunk(chunk) for chunk in chunks]


def _png_chunks(data: bytes) -> Iterator[bytes]:
    """Each chunk, from its length to its CRC (PNG 5.3), up to the end of the image."""
    position = len(PNG_SIGNATURE)
    for _ in range(_MAX_CHUNKS):
        end = position + 12 + int.from_bytes(data[position : position + 4], "big")
        if end > len(data):
            raise UnreadableFilm(_DAMAGED_PNG.format("it ends too early"))
        yield data[position:end]
        if data[position + 4 : position + 8] == b"IEND":
            return
        position = end
    raise UnreadableFilm(_DAMAGED_PNG.format(f"it has more than {_MAX_CHUNKS} parts"))


def _kind(chunk: bytes) -> bytes:
    return chunk[4:8]


def _checked_chunk(chunk: bytes) -> bytes:
    if zlib.crc32(memoryview(chunk)[4:-4]) != int.from_bytes(chunk[-4:], "big"):
        raise UnreadableFilm(_DAMAGED_PNG.format("a checksum is wrong"))
    return chunk


def _stored_bits(image: NDArray[Any]) -> tuple[int, tuple[str, ...]]:
    """How many of the 16 bits of a PNG are used, and the note that says so.

    Detectors give 10 to 14 bits, and many exports store these numbers as they are: divided by 65,535 such a film
    would be almost black. 8 bits: an 8-bit film that was saved from an array of 16-bit integers.
    """
    maximum = int(image[..., :3].max() if image.ndim == 3 else image.max())
    bits = next(bits for bits in (8, 10, 12, 14, 16) if maximum < 2**bits)
    if bits == 16 or maximum == 0:
        return 16, ()
    return bits, (f"{bits}-bit values in a 16-bit PNG (largest {maximum}), scaled by {2**bits - 1}",)


def _scale(grey: NDArray[Any], bits: int) -> NDArray[np.float32]:
    pixels: NDArray[np.float32] = np.divide(grey, np.float32(2**bits - 1), dtype=np.float32)
    return pixels


def _read_jpeg(data: bytes, limits: Limits) -> Film:
    header = read_jpeg_header(data)
    if header.bits != 8:
        raise UnreadableFilm(f"The JPEG file has {header.bits}-bit pixels; 8 bits are read. Save it as PNG or DICOM.")
    # A progressive decoder keeps all coefficients, two bytes each, until the last scan.
    limits.validate_image(header.rows, header.columns, 1, header.samples * (3 if header.progressive else 1))
    image = decode_jpeg(data)
    pixels = _turn_upright(_scale(luminance(image, "RGB"), 8), _exif_orientation(data))
    return Film(pixels, Metadata(format="JPEG", bits=8, notes=colour_notes(image)))


def _jpeg_pixel_parts(data: bytes) -> list[bytes]:
    """Start of image, the segments that make pixels, and all from the start of scan on."""
    parts, scan = [data[:2]], len(data)
    for marker, start, end in jpeg_segments(data):
        application = _JPEG_APP0 <= marker <= _JPEG_APP0 + 15 and marker not in (_JPEG_APP0, _JPEG_APP14)
        if not application and marker != _JPEG_COMMENT:  # APP0 and APP14 name the colour space
            parts.append(data[start:end])
        scan = end
    return [*parts, data[scan:]]


def _exif_orientation(data: bytes) -> int:
    """Orientation (tag 0x0112) of EXIF 2.32, 4.6.4: 1 to 8, 1 when there is none."""
    for marker, start, end in jpeg_segments(data):
        if marker == _JPEG_APP1 and data[start + 4 : start + 10] == b"Exif\0\0":
            return _tiff_orientation(data[start + 10 : end])
    return 1


def _tiff_orientation(tiff: bytes) -> int:
    order = ">" if tiff.startswith(b"MM") else "<"
    if len(tiff) < 10:
        return 1
    (directory,) = struct.unpack_from(f"{order}I", tiff, 4)
    for entry in range(directory + 2, len(tiff) - 11, 12):
        tag, _, _, value = struct.unpack_from(f"{order}HHIH", tiff, entry)
        if tag == 0x0112:
            return value if 1 <= value <= 8 else 1
    return 1


def _turn_upright(pixels: NDArray[np.float32], orientation: int) -> NDArray[np.float32]:
    """Undoes an EXIF orientation; a phone held sideways writes 6 or 8."""
    mirrored = pixels[:, ::-1] if orientation in (2, 4, 5, 7) else pixels
    turns = {3: 2, 4: 2, 5: 1, 6: 3, 7: 3, 8: 1}.get(orientation, 0)  # quarters, to the left
    return np.ascontiguousarray(np.rot90(mirrored, turns))
