"""Small files that ask for much memory. Run as a program, reads one of them and prints what became of it.

python -m tests.films.bombs NAME      prints the error's class, its message, and by how many MiB memory grew
"""

import io
import resource
import sys
import zlib

import numpy as np
from PIL import Image
from pydicom.encaps import encapsulate

from cxr.errors import CxrError
from cxr.films.read import read_film
from tests.films.pngs import GREY, SIGNATURE, chunk, header
from tests.phantom import phantom_dataset, phantom_dicom, phantom_jpeg, phantom_png, to_bytes


def png_of_60000_pixels() -> bytes:
    return (
        SIGNATURE + header(60_000, 60_000, 8, GREY) + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")
    )


def png_that_inflates_beyond_its_size() -> bytes:
    body = chunk(b"IDAT", zlib.compress(bytes(200 * 2**20), 1))
    return SIGNATURE + header(64, 64, 8, GREY) + body + chunk(b"IEND", b"")


def png_with_inflating_text() -> bytes:
    text = chunk(b"zTXt", b"Comment\0\0" + zlib.compress(bytes(200 * 2**20), 1))
    file = phantom_png(64)
    return file[:33] + text + file[33:]


def jpeg_of_65500_pixels() -> bytes:
    file = bytearray(phantom_jpeg(64))
    size = file.index(b"\xff\xc0") + 5
    file[size : size + 4] = b"\xff\xdc\xff\xdc"
    return bytes(file)


def deflated_dicom() -> bytes:
    dataset = phantom_dataset(64, 64)
    dataset.file_meta.TransferSyntaxUID = "1.2.840.10008.1.2.1.99"
    file = to_bytes(dataset)
    # The dataset is deflated anew, with 300 MiB of zeros in front of which pydicom would not stop.
    start = 132 + 12 + int.from_bytes(file[140:144], "little")
    deflater = zlib.compressobj(1, wbits=-15)
    blob = b"\x09\x00\x10\x00OB\0\0" + (300 * 2**20).to_bytes(4, "little") + bytes(300 * 2**20)
    return file[:start] + deflater.compress(blob) + deflater.flush()


def dicom_of_60000_pixels() -> bytes:
    return phantom_dicom(64, 64, Rows=60_000, Columns=60_000)


def jpeg_2000_larger_than_its_header() -> bytes:
    dataset, buffer = phantom_dataset(64, 64), io.BytesIO()
    Image.fromarray(np.zeros((64, 64), np.uint16)).save(buffer, "JPEG2000", no_jp2=True)
    frame = bytearray(buffer.getvalue())
    for position in (8, 12, 24, 28):  # image and tile size
        frame[position : position + 4] = (60_000).to_bytes(4, "big")
    dataset.PixelData = encapsulate([bytes(frame)])
    dataset["PixelData"].is_undefined_length = True
    dataset["PixelData"].VR = "OB"
    dataset.file_meta.TransferSyntaxUID = "1.2.840.10008.1.2.4.90"
    return to_bytes(dataset)


def dicom_with_two_million_items() -> bytes:
    file = phantom_dicom(64, 64)
    items = b"\x08\x00\x15\x11SQ\0\0\xff\xff\xff\xff" + b"\xfe\xff\x00\xe0\0\0\0\0" * 2_000_000
    position = file.index(b"\x10\x00\x10\x00PN")
    return file[:position] + items + b"\xfe\xff\xdd\xe0\0\0\0\0" + file[position:]


BOMBS = {
    bomb.__name__: bomb
    for bomb in (
        png_of_60000_pixels,
        png_that_inflates_beyond_its_size,
        png_with_inflating_text,
        jpeg_of_65500_pixels,
        deflated_dicom,
        dicom_of_60000_pixels,
        jpeg_2000_larger_than_its_header,
        dicom_with_two_million_items,
    )
}


def main(file: bytes) -> None:
    """Reads a bomb from standard input, so that making it does not count."""
    read_film(phantom_png(64)), read_film(phantom_dicom(64, 64))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    try:
        outcome = repr(read_film(file).pixels.shape)
    except CxrError as error:
        outcome = f"{type(error).__name__}: {error}"
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print((after - before) // 1024, outcome)


if __name__ == "__main__":
    main(sys.stdin.buffer.read())
