"""A file or its bytes -> Film, decided by content and never by name; what is no frontal chest film is refused."""

import os
from pathlib import Path
from typing import TYPE_CHECKING

from cxr.errors import CxrError, NotAFilm, NotFound, UnreadableFilm
from cxr.films.dicomsigns import has_prefix, is_dicom
from cxr.films.film import Film, Limits, Metadata, shown
from cxr.films.header import header_reasons, validate_modality
from cxr.films.raster import JPEG_SIGNATURE, PNG_SIGNATURE, read_raster

if TYPE_CHECKING:
    from cxr.films.dicomfile import DicomFile

_SEND = "Send the film as PNG, JPEG or DICOM."
_OTHER_FORMATS = {
    b"GIF8": "a GIF image",
    b"BM": "a BMP image",
    b"II*\0": "a TIFF image",
    b"MM\0*": "a TIFF image",
    b"RIFF": "a WebP image, a sound or a video",
    b"%PDF": "a PDF document",
    b"PK\x03\x04": "a ZIP archive",
    b"\x1f\x8b": "a gzip archive",
    b"\0\0\0\x0cjP  ": "a JPEG 2000 image",
    b"\xff\x4f\xff\x51": "a JPEG 2000 image",
}

_DICOMDIR = "1.2.840.10008.1.3.10"
_DEFAULT_LIMITS = Limits()


def read_film(
    source: str | os.PathLike[str] | bytes, limits: Limits = _DEFAULT_LIMITS, *, frontal_only: bool = True
) -> Film:
    """Path or bytes of a PNG, JPEG or DICOM film -> Film.

    `frontal_only=False` reads radiographs of other body parts and views too, for those who ask `header_reasons` of
    them, as the film check does.

    Raises:
        NotFound: no such file.
        NotAFilm: not PNG, JPEG or DICOM, or a folder.
        TooLarge: beyond the limits, by its header.
        UnreadableFilm: damaged, or not to be opened, or by its header no radiograph, or not a frontal one of a chest.
        CxrError: pydicom, or the decoder of its transfer syntax, is not installed.
        MemoryError, OSError: faults of the machine and not of the film: no memory, no process for a decoder.
    """
    data = source if isinstance(source, bytes) else _read_file(Path(source), limits)
    limits.validate_file(len(data))
    if data.startswith((PNG_SIGNATURE, JPEG_SIGNATURE)):
        return read_raster(data, limits)
    _validate_dicom(data)
    return _read_dicom(data, limits, frontal_only)


def _read_dicom(data: bytes, limits: Limits, frontal_only: bool) -> Film:
    """Imports the DICOM code now: PNG and JPEG films are read, and trained on, where pydicom is not installed."""
    try:
        from cxr.films.dicom import describe, film_of
        from cxr.films.dicomfile import parse_dicom
    except ModuleNotFoundError as error:
        package = (error.name or "pydicom").partition(".")[0]
        raise CxrError(
            f"The film is DICOM, and the Python package {package} that reads it is not installed. "
            "Install what requirements-desk.txt lists, or send the film as PNG."
        ) from error
    file = parse_dicom(data, limits)
    _validate_kind(file, describe(file), frontal_only)
    return film_of(file, limits)


def _read_file(path: Path, limits: Limits) -> bytes:
    """The bytes of a file, unless it is larger than a film may be."""
    name = shown(path.name or str(path))
    try:
        if path.is_dir():
            raise NotAFilm(f"The file {name} is a folder. Name a film in it.")
        if not path.is_file():
            raise NotFound(f"There is no file {name}. Check the name.")
        limits.validate_file(path.stat().st_size)
        return path.read_bytes()
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        raise UnreadableFilm(f"The file {name} cannot be opened. Check its name and its permissions.") from error


def _validate_dicom(data: bytes) -> None:
    if not data:
        raise NotAFilm(f"The file is empty. {_SEND}")
    known = next((name for start, name in _OTHER_FORMATS.items() if data.startswith(start)), None)
    if known and not has_prefix(data):
        raise NotAFilm(f"The file is {known}. {_SEND}")
    if not is_dicom(data):
        kind = "a text" if _is_text(data[:512]) else "of an unknown format"
        raise NotAFilm(f"The file is {kind}. {_SEND}")


def _is_text(beginning: bytes) -> bool:
    return not any(byte < 32 and byte not in b"\t\n\r\f" for byte in beginning)


def _validate_kind(file: "DicomFile", metadata: Metadata, frontal_only: bool) -> None:
    if str(file.dataset.get("MediaStorageSOPClassUID")) == _DICOMDIR:
        raise UnreadableFilm("The file is a DICOMDIR, a list of files. Send the films that it lists.")
    validate_modality(metadata)
    for reason in header_reasons(metadata) if frontal_only else ():
        raise UnreadableFilm(reason.text)
