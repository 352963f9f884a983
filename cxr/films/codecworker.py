"""Decoders of compressed DICOM frames, in a process of their own: a program that `isolation` starts.

Damaged frames make these libraries abort (GDCM), run for ever (CharLS) or panic (the RLE decoder); here they take
down nobody. A request is a line of JSON, answered as soon as the decoder is loaded, and then the encoded frame,
answered by a line of JSON and the decoded values, in little endian. Only the standard library, NumPy and the decoders
are imported, each when it is first needed.
"""

import importlib
import json
import os
import sys
from collections.abc import Callable
from typing import Any, BinaryIO

Decoded = tuple[bytes, bool]  # values, and whether they lie by plane (RRR... GGG... BBB...)


def decode_with_gdcm(encoded: bytes, frame: dict[str, Any]) -> Decoded:
    """JPEG of 8 to 16 bits, lossy or lossless."""
    import gdcm

    # pydicom's own use of GDCM refuses 12-bit lossy JPEG; its pixels are those of dcmdjpeg, a test shows.
    fragment = gdcm.Fragment()
    fragment.SetByteStringValue(encoded)
    fragments = gdcm.SequenceOfFragments.New()
    fragments.AddFragment(fragment)
    element = gdcm.DataElement(gdcm.Tag(0x7FE0, 0x0010))
    element.SetValue(fragments.__ref__())
    image = gdcm.Image()
    image.SetNumberOfDimensions(2)
    image.SetDimensions((frame["columns"], frame["rows"], 1))
    image.SetDataElement(element)
    photometric = gdcm.PhotometricInterpretation.GetPIType(frame["photometric"])
    image.SetPhotometricInterpretation(gdcm.PhotometricInterpretation(photometric))
    image.SetTransferSyntax(gdcm.TransferSyntax(gdcm.TransferSyntax.GetTSType(frame["transfer_syntax"])))
    allocated, bits = 8 if frame["bits"] <= 8 else 16, frame["bits"]
    image.SetPixelFormat(gdcm.PixelFormat(frame["samples"], allocated, bits, bits - 1, 0))
    buffer: str = image.GetBuffer()  # GDCM hands out char* as str
    return buffer.encode("utf-8", "surrogateescape"), False


def decode_jpeg_ls(encoded: bytes, frame: dict[str, Any]) -> Decoded:
    """JPEG-LS, lossless or near-lossless."""
    import jpeg_ls

    decoded, info = jpeg_ls.decode_pixel_data(encoded)
    return bytes(decoded), info["interleave_mode"] == 0


def decode_jpeg_2000(encoded: bytes, frame: dict[str, Any]) -> Decoded:
    """JPEG 2000 and High-Throughput JPEG 2000; a colour transform of the codestream is undone."""
    from openjpeg.utils import decode

    return decode(encoded).tobytes(), False


def decode_rle(encoded: bytes, frame: dict[str, Any]) -> Decoded:
    """RLE of PS3.5 Annex G."""
    from rle.utils import decode_pixel_data

    size = {name: frame[name] for name in ("rows", "columns", "bits_allocated")}
    return bytes(decode_pixel_data(encoded, version=2, **size)), True


CODECS: dict[str, tuple[str, Callable[[bytes, dict[str, Any]], Decoded]]] = {  # with the module that must be there
    "gdcm": ("gdcm", decode_with_gdcm),
    "jpeg-ls": ("jpeg_ls", decode_jpeg_ls),
    "jpeg-2000": ("openjpeg.utils", decode_jpeg_2000),
    "rle": ("rle.utils", decode_rle),
}


def serve(requests: BinaryIO, answers: BinaryIO) -> None:
    """Answers requests until there are no more, i.e. until the process that sent them closes the pipe or ends."""
    while line := requests.readline():
        frame = json.loads(line)
        module, decode = CODECS[frame["codec"]]
        if not _is_loaded(module):
            _answer(answers, {"failed": "missing"})
            continue
        _answer(answers, {"ready": True})
        encoded = requests.read(frame["bytes"])
        try:
            decoded, by_plane = decode(encoded, frame)
        except MemoryError:
            _answer(answers, {"failed": "memory"})
        except BaseException:  # a panic of Rust code is no Exception
            _answer(answers, {"failed": "damaged"})
        else:
            _answer(answers, {"bytes": len(decoded), "by_plane": by_plane}, decoded)


def _is_loaded(module: str) -> bool:
    try:
        importlib.import_module(module)
    except Exception:  # not installed, or for another NumPy, or without its own library
        return False
    return True


def _answer(answers: BinaryIO, line: dict[str, Any], values: bytes = b"") -> None:
    answers.write(json.dumps(line).encode() + b"\n")
    answers.write(values)
    answers.flush()


def main() -> None:
    """The answers keep standard output to themselves: what the libraries print goes nowhere."""
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    serve(sys.stdin.buffer, answers)


if __name__ == "__main__":
    main()
