"""Where the films of an archive lie: a folder, a list, a ZIP or a bucket. Names in a fixed order, bytes by name.

Sources hold nothing but their name, so that other processes, on other machines too, open them for themselves.
"""

import csv
import os
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol

from cxr.errors import BadRequest, CxrError, UnreadableFilm
from cxr.films.dicomsigns import is_dicom
from cxr.films.film import Limits, shown
from cxr.films.raster import JPEG_SIGNATURE, PNG_SIGNATURE
from cxr.reading.labels import FILM_COLUMNS

FILM_ENDINGS = {".png", ".jpg", ".jpeg", ".dcm", ".dicom", ""}  # looked for in folders; a film in a list may have any
ZIP_METHODS = {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}  # the others take as much memory as the file asks for


class Source(Protocol):
    """Films by name."""

    def films(self) -> Iterator[str]:
        """Names, in the same order each time. Raises BadRequest when the source cannot be listed."""

    def read(self, name: str, limits: Limits) -> bytes | Path:
        """One film, as `read_film` takes it. Raises CxrError when it is not there, or beyond the limits."""


def open_source(given: str) -> Source:
    """What `given` names, told by its content.

    Raises:
        BadRequest: there is nothing of this name, it is a single film, or a file of another kind.
    """
    if "://" in given:
        return Bucket(given.rstrip("/"))
    path = Path(given)
    if path.is_dir():
        return Folder(given)
    beginning = _beginning(path)
    if zipfile.is_zipfile(path):
        return ZippedFilms(given)
    if beginning.startswith((PNG_SIGNATURE, JPEG_SIGNATURE)) or is_dicom(beginning):
        raise BadRequest(f"{given} is one film; name its folder, or read it with `python -m cxr predict`.")
    if b"\0" in beginning:
        raise BadRequest(f"{given} is no folder, ZIP, or list of films: a text with a film on each line, or a csv.")
    return FilmList(given)


def _beginning(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(4096)
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        reason = getattr(error, "strerror", None) or error
        raise BadRequest(
            f"{shown(str(path))} cannot be opened ({reason}); give a folder, a ZIP, a list of films, or the URL of a "
            "bucket."
        ) from error


def looks_like_a_film(name: str) -> bool:
    """By the last part of a path."""
    return Path(name).suffix.lower() in FILM_ENDINGS and not name.startswith(".")


def read_file(name: str, limits: Limits) -> bytes | Path:
    """A film by its path or URL."""
    return _fetch(name, limits) if "://" in name else Path(name)


@dataclass(frozen=True)
class Folder:
    """A folder with all that lies below it, sorted; only one folder's names are held at a time."""

    path: str

    def films(self) -> Iterator[str]:
        return _walk(self.path)

    def read(self, name: str, limits: Limits) -> bytes | Path:
        if Path(name).is_dir():
            raise UnreadableFilm(f"The folder {shown(name)} cannot be listed. Check its permissions.")
        return Path(name)


def _walk(folder: str) -> Iterator[str]:
    try:
        with os.scandir(folder) as found:
            entries = sorted(found, key=lambda entry: entry.name)
    except OSError:  # a row for it, and no stop
        yield folder
        return
    for entry in entries:
        if entry.is_dir(follow_symlinks=False):
            yield from _walk(entry.path)
        elif looks_like_a_film(entry.name) and entry.is_file():
            yield entry.path


@dataclass(frozen=True)
class FilmList:
    """A text with a path or URL on each line, or a csv with a column `film` or `path`, as `archive` writes one."""

    path: str

    def films(self) -> Iterator[str]:
        try:
            with Path(self.path).open(newline="", encoding="utf-8-sig", errors="surrogateescape") as file:
                if self.path.lower().endswith(".csv"):
                    yield from self._column(csv.DictReader(file, strict=True))
                else:
                    yield from (line.rstrip("\r\n") for line in file if line.strip())
        except (OSError, csv.Error) as error:
            raise BadRequest(f"The list {self.path} cannot be read ({error}).") from error

    def _column(self, table: "csv.DictReader[str]") -> Iterator[str]:
        columns = [name for name in FILM_COLUMNS if name in (table.fieldnames or ())]
        if not columns:
            raise BadRequest(f"{self.path} has no column {' or '.join(FILM_COLUMNS)}, by which a film is found.")
        return (row[columns[0]] for row in table if row[columns[0]])

    def read(self, name: str, limits: Limits) -> bytes | Path:
        return read_file(name, limits)


@dataclass(frozen=True)
class ZippedFilms:
    """A ZIP, in its own order. Nothing is unpacked to disk, and no film beyond the limits into memory."""

    path: str

    def films(self) -> Iterator[str]:
        try:
            names = _opened(self.path).namelist()
        except (OSError, zipfile.BadZipFile, NotImplementedError) as error:
            raise BadRequest(f"The ZIP {self.path} cannot be read ({error}).") from error
        for name in dict.fromkeys(names):  # of films of one name the last one counts, as in unpacking
            if not name.endswith("/") and looks_like_a_film(name.rpartition("/")[2]):
                yield f"{self.path}/{name}"

    def read(self, name: str, limits: Limits) -> bytes | Path:
        film = _opened(self.path).getinfo(name.removeprefix(f"{self.path}/"))
        limits.validate_file(film.file_size)
        if film.compress_type not in ZIP_METHODS:
            raise UnreadableFilm(f"The film is compressed by ZIP method {film.compress_type}. Pack it by deflate.")
        try:
            with _opened(self.path).open(film) as file:
                return file.read(limits.max_bytes + 1)  # its directory may lie about its size
        except (RuntimeError, zipfile.BadZipFile, zlib.error, EOFError) as error:
            raise UnreadableFilm(f"The film cannot be unpacked from the ZIP ({error}). Pack it again.") from error


@lru_cache(maxsize=1)
def _opened(path: str) -> zipfile.ZipFile:
    """Kept open, since its directory may have many thousand entries."""
    return zipfile.ZipFile(path)


@dataclass(frozen=True)
class Bucket:
    """All that lies below a URL that fsspec knows: s3://, gs://, https://, ..."""

    url: str

    def films(self) -> Iterator[str]:
        files, root = _filesystem(self.url)
        return _walk_bucket(files, root)

    def read(self, name: str, limits: Limits) -> bytes | Path:
        return _fetch(name, limits)


def _walk_bucket(files: Any, folder: str) -> Iterator[str]:
    try:
        entries = sorted(files.ls(folder, detail=True), key=lambda entry: str(entry["name"]))
    except Exception as error:  # each kind of bucket has a family of errors of its own
        raise BadRequest(f"The bucket cannot be listed at {folder}: {_told(error)}.") from error
    for entry in entries:
        name = str(entry["name"])
        if entry["type"] == "directory":
            yield from _walk_bucket(files, name)
        elif looks_like_a_film(name.rpartition("/")[2]):
            yield str(files.unstrip_protocol(name))


def _fetch(url: str, limits: Limits) -> bytes:
    try:
        files, path = _filesystem(url)
        with files.open(path, "rb") as file:
            return bytes(file.read(limits.max_bytes + 1))
    except CxrError:
        raise
    except Exception as error:  # as above
        raise UnreadableFilm(f"The film cannot be fetched: {_told(error)}. Try again, or check the address.") from error


def _filesystem(url: str) -> tuple[Any, str]:
    """fsspec's file system of a URL, and the path in it."""
    try:
        from fsspec.core import url_to_fs

        files, path = url_to_fs(url, use_listings_cache=False)  # a cache would hold the names of all films
    except ImportError as error:
        raise BadRequest(f"{url} cannot be opened: {error}. Install what the message names (pip install).") from error
    except ValueError as error:
        raise BadRequest(f"{url} cannot be opened ({error}); give a folder, or a URL such as s3://BUCKET.") from error
    return files, str(path)


def _told(error: Exception) -> str:
    return f"{type(error).__name__}: {error}".rstrip(".: ")
