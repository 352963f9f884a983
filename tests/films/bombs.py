"""Small files that ask for much memory. Run as a program, reads one of them and prints what became of it.

python -m tests.films.bombs < FILE      prints by how many MiB memory grew, and the error's class and message
"""

import io
import re
import sys
import zlib
from pathlib import Path

import numpy as np
from PIL import Image
from pydicom.dataset import FileDataset

from cxr.errors import CxrError
from cxr.films import isolation
from cxr.films.read import read_film
from tests.films.encoders import encapsulated
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
    frame = bytearray(_jpeg_2000_of_zeros(64))
    for position in (8, 12, 24, 28):  # image and tile size
        frame[position : position + 4] = (60_000).to_bytes(4, "big")
    return _wrap(phantom_dataset(64, 64), bytes(frame))


def jpeg_2000_of_zeros() -> bytes:
    """16 megapixels, as the header says, in 1 KB: the decoder's process unpacks them."""
    return _wrap(phantom_dataset(64, 64, Rows=4000, Columns=4000), _jpeg_2000_of_zeros(4000))


def _jpeg_2000_of_zeros(side: int) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(np.zeros((side, side), np.uint16)).save(buffer, "JPEG2000", no_jp2=True)
    return buffer.getvalue()


def _wrap(dataset: FileDataset, frame: bytes) -> bytes:
    return to_bytes(encapsulated(dataset, frame, "1.2.840.10008.1.2.4.90"))


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
        jpeg_2000_of_zeros,
        dicom_with_two_million_items,
    )
}


def main(file: bytes) -> None:
    """Reads a bomb from standard input, so that making it does not count."""
    # One film of each kind before: what is loaded once does not count either, here and in the decoder's process.
    for film in (phantom_png(64), phantom_jpeg(64), _wrap(phantom_dataset(64, 64), _jpeg_2000_of_zeros(64))):
        read_film(film)
    before = peak_kib()
    try:
        outcome = repr(read_film(file).pixels.shape)
    except CxrError as error:
        outcome = f"{type(error).__name__}: {error}"
    print((peak_kib() - before) // 1024, outcome)


def peak_kib() -> int:
    """The most memory that this process has held, and the decoder's process that waits for the next film.

    From /proc: the ru_maxrss of getrusage begins, on Linux, with the peak of the process that started this one.
    """
    (worker,) = isolation._WORKERS._idle
    return _peak_kib("self") + _peak_kib(str(worker.process.pid))


def _peak_kib(process: str) -> int:
    found = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc", process, "status").read_text())
    assert found
    return int(found[1])


if __name__ == "__main__":
    main(sys.stdin.buffer.read())
