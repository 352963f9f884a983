"""PNG files written chunk by chunk, so that a test says exactly what lies in them."""

import struct
import zlib

SIGNATURE = b"\x89PNG\r\n\x1a\n"
GREY, RGB, PALETTE, GREY_ALPHA, RGBA = 0, 2, 3, 4, 6


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def header(columns: int, rows: int, bits: int, colour: int) -> bytes:
    return chunk(b"IHDR", struct.pack(">IIBBBBB", columns, rows, bits, colour, 0, 0, 0))


def png(columns: int, rows: int, bits: int, colour: int, pixel: bytes, extra: bytes = b"") -> bytes:
    """A PNG of one colour: `pixel` repeated; below 8 bits, the byte that holds the pixels."""
    row = b"\0" + (pixel * columns if bits >= 8 else pixel * (columns * bits // 8))
    body = chunk(b"IDAT", zlib.compress(row * rows))
    return SIGNATURE + header(columns, rows, bits, colour) + extra + body + chunk(b"IEND", b"")
