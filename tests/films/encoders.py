"""DICOM files in every transfer syntax, by encoders that share no code with the decoders where there are any."""

import copy
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pytest
from numpy.typing import NDArray
from pydicom.dataset import FileDataset
from pydicom.encaps import encapsulate
from pydicom.uid import DeflatedExplicitVRLittleEndian, ImplicitVRLittleEndian

from tests.phantom import to_bytes


@dataclass(frozen=True)
class FrameEncoder:
    """An encoder of one frame, and by how much its film may differ from the original, in stored values."""

    syntax: str  # transfer syntax UID
    encode: Callable[[NDArray[Any], int], bytes]  # of stored values and the bits of each
    tolerance: int = 0


NEAR = 3  # stored values by which near-lossless JPEG-LS may err at the most, T.87 A.4.4


def _jpeg_ls(stored: NDArray[Any], bits: int) -> bytes:
    return imagecodecs.jpegls_encode(stored)


def _jpeg_ls_near_lossless(stored: NDArray[Any], bits: int) -> bytes:
    return imagecodecs.jpegls_encode(stored, level=NEAR)


def _jpeg_2000(stored: NDArray[Any], bits: int) -> bytes:
    return imagecodecs.jpeg2k_encode(stored, codecformat="J2K", level=0, reversible=True, bitspersample=bits)


def _jpeg_2000_lossy(stored: NDArray[Any], bits: int) -> bytes:
    """At a peak signal-to-noise ratio, in dB, that leaves the same noise whatever the bits."""
    ratio_db = 6 * bits - 2
    return imagecodecs.jpeg2k_encode(stored, codecformat="J2K", level=ratio_db, reversible=False, bitspersample=bits)


def _high_throughput(stored: NDArray[Any], bits: int) -> bytes:
    return imagecodecs.htj2k_encode(stored)


def _high_throughput_by_resolution(stored: NDArray[Any], bits: int) -> bytes:
    """With the tile-part lengths that PS3.5 A.4.4 asks for; the order of this encoder is always RPCL."""
    return imagecodecs.htj2k_encode(stored, tlm=True)


def _high_throughput_lossy(stored: NDArray[Any], bits: int) -> bytes:
    return imagecodecs.htj2k_encode(stored, level=1e-4, reversible=False)


def _jpeg_lossless(stored: NDArray[Any], bits: int) -> bytes:
    return imagecodecs.ljpeg_encode(stored, bitspersample=bits)


FRAME_ENCODERS = {
    "JPEG lossless, imagecodecs": FrameEncoder("1.2.840.10008.1.2.4.70", _jpeg_lossless),
    "JPEG-LS, imagecodecs": FrameEncoder("1.2.840.10008.1.2.4.80", _jpeg_ls),
    "JPEG-LS near-lossless, imagecodecs": FrameEncoder("1.2.840.10008.1.2.4.81", _jpeg_ls_near_lossless, NEAR),
    "JPEG 2000 lossless, imagecodecs": FrameEncoder("1.2.840.10008.1.2.4.90", _jpeg_2000),
    "JPEG 2000, imagecodecs": FrameEncoder("1.2.840.10008.1.2.4.91", _jpeg_2000_lossy, 12),
    "HTJ2K lossless, imagecodecs": FrameEncoder("1.2.840.10008.1.2.4.201", _high_throughput),
    "HTJ2K RPCL, imagecodecs": FrameEncoder("1.2.840.10008.1.2.4.202", _high_throughput_by_resolution),
    "HTJ2K, imagecodecs": FrameEncoder("1.2.840.10008.1.2.4.203", _high_throughput_lossy, 12),
}
LOSSY = [name for name, encoder in FRAME_ENCODERS.items() if encoder.tolerance]
# Transfer syntax UID, program of dcmtk with its options.
DCMTK: dict[str, tuple[str, list[str]]] = {
    "implicit little endian, dcmtk": ("1.2.840.10008.1.2", ["dcmconv", "+ti"]),
    "explicit big endian, dcmtk": ("1.2.840.10008.1.2.2", ["dcmconv", "+tb"]),
    "deflated, dcmtk": ("1.2.840.10008.1.2.1.99", ["dcmconv", "+td"]),
    "RLE, dcmtk": ("1.2.840.10008.1.2.5", ["dcmcrle"]),
    "JPEG lossless, dcmtk": ("1.2.840.10008.1.2.4.57", ["dcmcjpeg", "+el", "+sv", "4"]),
    "JPEG lossless first order, dcmtk": ("1.2.840.10008.1.2.4.70", ["dcmcjpeg", "+e1"]),
    "JPEG-LS, dcmtk": ("1.2.840.10008.1.2.4.80", ["dcmcjpls"]),
}
PYDICOM = {
    "implicit little endian, pydicom": ImplicitVRLittleEndian,
    "deflated, pydicom": DeflatedExplicitVRLittleEndian,
}


def encode(dataset: FileDataset, encoder: str) -> bytes:
    """The file of an uncompressed dataset, written by one of the encoders above."""
    if encoder in DCMTK:
        return run_dcmtk(to_bytes(dataset), DCMTK[encoder][1])
    if encoder in PYDICOM:
        dataset = copy.deepcopy(dataset)
        dataset.file_meta.TransferSyntaxUID = PYDICOM[encoder]
        return to_bytes(dataset)
    by = FRAME_ENCODERS[encoder]
    return to_bytes(encapsulated(dataset, by.encode(stored_values(dataset), dataset.BitsStored), by.syntax))


def stored_values(dataset: FileDataset) -> NDArray[Any]:
    dtype = np.dtype(f"{'i' if dataset.PixelRepresentation else 'u'}{dataset.BitsAllocated // 8}")
    return np.frombuffer(dataset.PixelData, dtype).reshape(dataset.Rows, dataset.Columns)


def encapsulated(dataset: FileDataset, frame: bytes, syntax: str) -> FileDataset:
    """A copy of a dataset with `frame` as its pixels."""
    dataset = copy.deepcopy(dataset)
    dataset.PixelData = encapsulate([frame])
    dataset["PixelData"].VR = "OB"
    dataset["PixelData"].is_undefined_length = True
    dataset.file_meta.TransferSyntaxUID = syntax
    return dataset


def run_dcmtk(file: bytes, command: list[str]) -> bytes:
    program = shutil.which(command[0], path="/usr/bin:/usr/local/bin")  # pynetdicom puts namesakes into the venv
    if program is None:
        pytest.skip(f"{command[0]} of dcmtk is not installed")
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder, "source.dcm"), Path(folder, "target.dcm")
        source.write_bytes(file)
        subprocess.run([program, *command[1:], source, target], check=True, capture_output=True)
        return target.read_bytes()
