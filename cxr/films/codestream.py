"""Headers of compressed images, read before any decoder sees the bytes.

A decoder allocates what the header of the codestream asks for, and a DICOM header may say something else: both
are held against the limits first. JPEG markers: ITU-T T.81, Annex B; JPEG-LS: T.87, Annex C; JPEG 2000: T.800, Annex A.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from cxr.errors import UnreadableFilm

# Start of frame: T.81 Table B.1 without DHT (C4), JPG (C8) and DAC (CC), and SOF55 of JPEG-LS.
_START_OF_FRAME = {*range(0xC0, 0xD0), 0xF7} - {0xC4, 0xC8, 0xCC}
_PROGRESSIVE = {0xC2, 0xC6, 0xCA, 0xCE}
_START_OF_SCAN, _END_OF_IMAGE = 0xDA, 0xD9
_ALONE = {0x01, *range(0xD0, 0xD9)}  # markers without a segment
MAX_SCANS = 200  # a progressive JPEG has about ten; thousands keep a decoder busy for hours
MAX_TILES = 4096  # a decoder keeps kilobytes for each tile, even an empty one


@dataclass(frozen=True)
class Codestream:
    """What the header of a compressed image says of its pixels."""

    rows: int
    columns: int
    samples: int  # per pixel
    bits: int  # per sample
    progressive: bool = False
    signed: bool = False  # of JPEG 2000; other codestreams cannot say so


def jpeg_segments(data: bytes) -> Iterator[tuple[int, int, int]]:
    """Marker, start and end of each segment (marker bytes included) up to the start of scan, which comes last.

    Raises:
        UnreadableFilm: the bytes end, or hold no marker where there must be one.
    """
    position = 2  # after the start of image, FF D8
    while position + 4 <= len(data) and data[position] == 0xFF:
        marker = data[position + 1]
        if marker == 0xFF or marker in _ALONE:  # fill bytes may come before any marker
            position += 1 if marker == 0xFF else 2
            continue
        end = position + 2 + int.from_bytes(data[position + 2 : position + 4], "big")
        if marker == _END_OF_IMAGE or end > len(data):
            break
        yield marker, position, end
        if marker == _START_OF_SCAN:
            return
        position = end
    raise UnreadableFilm("The JPEG image ends or is damaged before its pixels begin. Export the film again.")


def read_jpeg_header(data: bytes) -> Codestream:
    """Size of a JPEG, lossless JPEG or JPEG-LS image.

    Raises:
        UnreadableFilm: there is no frame header, or it hides its height, or there are more than `MAX_SCANS` scans.
    """
    frames = [(marker, data[start:end]) for marker, start, end in jpeg_segments(data) if marker in _START_OF_FRAME]
    if len(frames) != 1 or len(frames[0][1]) < 10:
        raise UnreadableFilm("The JPEG image has no frame header that can be read. Export the film again.")
    marker, segment = frames[0]
    bits, rows, columns, samples = struct.unpack_from(">BHHB", segment, 4)
    # In the coded bits FF is followed by 00, so FF DA is a scan (or lies in a thumbnail, which has one of its own).
    scans = data.count(b"\xff\xda")
    if rows == 0 or scans > MAX_SCANS:
        raise UnreadableFilm(
            f"The JPEG image has {rows} rows in {scans} scans. Export the film again, as baseline JPEG."
        )
    return Codestream(rows, columns, samples, bits, marker in _PROGRESSIVE)


def find_jpeg2000(data: bytes) -> bytes:
    """The codestream itself, without the JP2 boxes that some writers leave around it (against PS3.5 A.4.4).

    Raises:
        UnreadableFilm: there is none.
    """
    start = data.find(b"\xff\x4f\xff\x51", 0, 65536)
    if start < 0 or len(data) < start + 45:
        raise UnreadableFilm("The JPEG 2000 image has no header that can be read. Export the film again.")
    return data[start:] if start else data


def read_jpeg2000_header(codestream: bytes) -> Codestream:
    """Size of a JPEG 2000 or High-Throughput JPEG 2000 codestream (marker SIZ, T.800 A.5.1).

    Raises:
        UnreadableFilm: it is cut into more than `MAX_TILES` tiles.
    """
    right, bottom, left, top, tile_width, tile_height = struct.unpack_from(">6I", codestream, 8)
    (samples,) = struct.unpack_from(">H", codestream, 40)
    bits = (codestream[42] & 0x7F) + 1
    tiles = -(-right // max(tile_width, 1)) * -(-bottom // max(tile_height, 1))
    if tiles > MAX_TILES:
        raise UnreadableFilm(f"The JPEG 2000 image is cut into {tiles} tiles. Export the film again, in one tile.")
    return Codestream(bottom - top, right - left, samples, bits, signed=bool(codestream[42] & 0x80))
