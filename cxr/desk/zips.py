"""A ZIP file of films: each member is a film like any other, unpacked in memory, one at a time, never to a disk."""

import zipfile
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import IO
from zipfile import ZipFile, ZipInfo

from cxr.errors import NotAFilm, TooLarge, UnreadableFilm
from cxr.settings import MIB, Settings

SIGNATURES = (b"PK\x03\x04", b"PK\x05\x06")  # of a file at the start, and of a ZIP file without any
ENCRYPTED = 0x1  # general purpose bit flag, APPNOTE.TXT 4.4.4
# zipfile unpacks these piece by piece; of bzip2 and LZMA it unpacks all that one piece holds, which may be gigabytes.
METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
LISTED_BYTES = 512  # of a ZIP file's list of its members, for each film that an upload may hold
DAMAGES = (zipfile.BadZipFile, zlib.error, EOFError, OSError, ValueError, OverflowError, NotImplementedError)
CLUTTER = ("thumbs.db", "desktop.ini")  # what systems put beside files; so do names that begin with a dot

DAMAGED = "The ZIP file is damaged here. Pack the films anew, or send them without it."


@dataclass(frozen=True)
class Sent:
    """One file of an upload: a part of the request, or a member of a ZIP file in it."""

    name: str
    size: int  # bytes, once unpacked
    read: Callable[[], bytes]  # its bytes, never more than `size`; raises of the CxrError family


def is_zip(stream: IO[bytes]) -> bool:
    stream.seek(0)
    start = stream.read(132)
    return start.startswith(SIGNATURES) and start[128:] != b"DICM"  # a DICOM preamble holds anything (PS3.10, 7.1)


def members_of(stream: IO[bytes], settings: Settings) -> list[Sent]:
    """The files in a ZIP file, in its own order, without folders and clutter; none is unpacked yet.

    Raises:
        UnreadableFilm: the ZIP file is damaged, encrypted or holds no file.
        TooLarge: its list of members alone is larger than an upload can need.
    """
    try:
        archive = ZipFile(_Bounded(stream, MIB + LISTED_BYTES * settings.max_request_films))
    except DAMAGES as error:
        raise UnreadableFilm(DAMAGED) from error
    infos = [info for info in archive.infolist() if not _is_beside(info)]
    _validate(infos)
    return [Sent(info.filename, info.file_size, partial(_unpack, archive, info)) for info in infos]


class _Bounded:
    """A stream of which nobody reads much at a time.

    zipfile reads the list of members in one piece, and keeps each: a ZIP file of half a GB could name ten million.
    """

    def __init__(self, stream: IO[bytes], most: int) -> None:
        self.seek, self.tell, self.seekable = stream.seek, stream.tell, stream.seekable
        self._stream, self._most = stream, most

    def read(self, count: int = -1) -> bytes:
        if count > self._most:
            raise TooLarge("The ZIP file holds too many files; send them in several.")
        return self._stream.read(count)


def _is_beside(info: ZipInfo) -> bool:
    folder, _, name = info.filename.rpartition("/")
    return not name or name.startswith(".") or name.lower() in CLUTTER or folder.split("/")[0] == "__MACOSX"


def _validate(infos: Sequence[ZipInfo]) -> None:
    if any(info.flag_bits & ENCRYPTED for info in infos):
        raise UnreadableFilm("The ZIP file is encrypted. Unpack it, and send its films without a password.")
    if not infos:
        raise UnreadableFilm("The ZIP file holds no file. Pack PNG, JPEG or DICOM films into it.")


def _unpack(archive: ZipFile, info: ZipInfo) -> bytes:
    if info.compress_type not in METHODS:
        raise UnreadableFilm("The ZIP file packs this film by an unusual method. Pack it by deflate, the common one.")
    try:
        with archive.open(info) as member:
            content = b"".join(iter(lambda: member.read(MIB), b""))  # zipfile ends at the size that it listed
    except (*DAMAGES, RuntimeError) as error:
        raise UnreadableFilm(DAMAGED) from error
    if content.startswith(SIGNATURES):
        raise NotAFilm("This is a ZIP file within a ZIP file, which is not opened. Send it by itself.")
    return content
