"""Where film bytes are kept, each under its SHA-256: a folder, or a bucket that several hosts share."""

import errno
import logging
import os
import re
import secrets
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Protocol
from urllib.parse import urlsplit

from cxr.desk.faults import FaultLog, StorageAway
from cxr.durable import sync_file, sync_folder
from cxr.errors import CxrError, SettingError

PACKAGES = {"s3": "s3fs", "s3a": "s3fs", "gs": "gcsfs", "gcs": "gcsfs", "az": "adlfs", "abfs": "adlfs"}
SHELF_S = 600  # a bucket is looked through one 256th at a time
TOKEN = ".cxr-storage"  # beside the shelves; what it is for: binding


class BytesMissing(CxrError):
    """A film has a row, and no bytes: somebody else deleted them, or a backup has gaps."""

    def __init__(self) -> None:
        super().__init__(
            "The bytes of this film are missing from the storage, or cannot be read; restore them, or delete the film."
        )


class Storage(Protocol):
    """Film bytes by their SHA-256. Safe to share among threads and processes."""

    @property
    def root(self) -> str:
        """Where it stands, in words for the owner of the machine."""

    def token(self) -> str:
        """The id by which its database knows it; empty: none yet."""

    def keep_token(self, token: str) -> None:
        """Write its id."""

    def is_there(self) -> bool:
        """Whether it still is where it was opened: a folder is not, when what was mounted on it is gone."""

    def is_empty(self) -> bool:
        """Whether there are no films in it."""

    def staged(self, sha256: str, content: bytes) -> AbstractContextManager[Callable[[], None]]:
        """Bring the bytes near; what is yielded puts them in their place, under the lock of their hash."""

    def read(self, sha256: str) -> bytes:
        """Raises FileNotFoundError."""

    def delete(self, sha256: str) -> None:
        """Bytes that are gone already are no error."""

    def place(self, sha256: str) -> str:
        """Where the bytes stand, or would, in words for the owner of the machine."""

    def names(self) -> list[str]:
        """Some or all of the hashes that are kept; all of them in the course of two days."""

    def is_older(self, sha256: str, moment: float) -> bool:
        """Whether the bytes were stored before; False also when they are gone."""

    def tidy(self, moment: float) -> None:
        """Delete what uploads that were broken off before `moment` left half written."""


def open_storage(url: str, instance: Path) -> Storage:
    """Films under CXR_STORAGE_URL: a folder or a bucket; empty: beside the database.

    Raises:
        SettingError: it cannot be used.
    """
    parts = urlsplit(url)
    if parts.username or parts.password:
        raise SettingError("CXR_STORAGE_URL holds a password; give it by the bucket's own variables (AWS_...) instead.")
    if not url:
        return Folder(instance / "films", "CXR_INSTANCE_PATH")
    if parts.scheme in ("", "file"):
        return Folder(Path(parts.path), "CXR_STORAGE_URL")
    return Bucket(url)


class Folder:
    """A folder, which several hosts may share."""

    def __init__(self, folder: Path, setting: str) -> None:
        self._folder = folder
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise SettingError(f"{setting}: films cannot be stored there ({error.strerror}); name another.") from error

    @property
    def root(self) -> str:
        return str(self._folder)

    def token(self) -> str:
        try:
            return (self._folder / TOKEN).read_text()
        except FileNotFoundError:
            return ""

    def keep_token(self, token: str) -> None:
        with self._staged(token.encode()) as staged:
            staged.replace(self._folder / TOKEN)
            sync_folder(self._folder)

    def is_there(self) -> bool:
        return (self._folder / TOKEN).exists()

    def is_empty(self) -> bool:
        return next(self._folder.glob("??/*"), None) is None

    @contextmanager
    def staged(self, sha256: str, content: bytes) -> Iterator[Callable[[], None]]:
        if shutil.disk_usage(self._folder).free < len(content):  # not half a film, and no room left for anybody
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        with self._staged(content) as staged:
            yield lambda: self._move(staged, self._path(sha256))

    def read(self, sha256: str) -> bytes:
        return self._path(sha256).read_bytes()

    def delete(self, sha256: str) -> None:
        self._path(sha256).unlink(missing_ok=True)

    def place(self, sha256: str) -> str:
        return str(self._path(sha256))

    def names(self) -> list[str]:
        return [path.name for path in self._folder.glob("*/*")]

    def is_older(self, sha256: str, moment: float) -> bool:
        return _is_older(self._path(sha256), moment)

    def tidy(self, moment: float) -> None:
        for part in self._folder.glob("*.part"):
            if _is_older(part, moment):
                part.unlink(missing_ok=True)

    @contextmanager
    def _staged(self, content: bytes) -> Iterator[Path]:
        """A temporary file beside the final place; gone afterwards unless it was moved there."""
        handle, name = tempfile.mkstemp(dir=self._folder, suffix=".part")
        staged = Path(name)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(content)
                sync_file(file)
            yield staged
        finally:
            staged.unlink(missing_ok=True)

    def _path(self, sha256: str) -> Path:
        return self._folder / sha256[:2] / sha256

    def _move(self, staged: Path, path: Path) -> None:
        path.parent.mkdir(exist_ok=True)
        staged.replace(path)
        for folder in (path.parent, self._folder):  # before the row is: a power cut must not leave it without bytes
            sync_folder(folder)


class Bucket:
    """A bucket, by fsspec; endpoint and credentials come from its own variables (AWS_ENDPOINT_URL, ...).

    An object appears when all of it was sent, so there are no halves to tidy up.
    """

    def __init__(self, url: str) -> None:
        self._faults = FaultLog(logging.getLogger(__name__))
        package = PACKAGES.get(urlsplit(url).scheme)
        if package and not find_spec(package):
            raise SettingError(f"CXR_STORAGE_URL needs the package {package}; pip install -r requirements-many.txt.")
        try:
            self._open(url)
            self._probe()
        except Exception as error:  # every library of buckets has its own
            raise SettingError(f"CXR_STORAGE_URL: {_cause(error)}; films cannot be stored there.") from None

    @property
    def root(self) -> str:
        return str(self._root)

    def token(self) -> str:
        try:
            with self._told():
                return bytes(self._bucket.cat_file(f"{self._root}/{TOKEN}")).decode()
        except FileNotFoundError:
            return ""

    def keep_token(self, token: str) -> None:
        with self._told():
            self._bucket.pipe_file(f"{self._root}/{TOKEN}", token.encode())

    def is_there(self) -> bool:
        return True

    def is_empty(self) -> bool:
        """By the names of the shelves alone: a list of all films would be thousands of requests."""
        try:
            with self._told():
                found = self._bucket.ls(self._root, detail=False)
        except FileNotFoundError:
            return True
        return not any(re.fullmatch("[0-9a-f]{2}", path.rstrip("/").rpartition("/")[2]) for path in found)

    @contextmanager
    def staged(self, sha256: str, content: bytes) -> Iterator[Callable[[], None]]:
        """Sent before the lock, since a bucket takes its time, and again where a deletion came in between."""

        def confirm() -> None:
            with self._told():
                if not self._bucket.exists(self.place(sha256)):
                    self._bucket.pipe_file(self.place(sha256), content)

        with self._told():
            self._bucket.pipe_file(self.place(sha256), content)
        yield confirm

    def read(self, sha256: str) -> bytes:
        with self._told():
            return bytes(self._bucket.cat_file(self.place(sha256)))

    def delete(self, sha256: str) -> None:
        with self._told():
            if self._bucket.exists(self.place(sha256)):
                self._bucket.rm_file(self.place(sha256))

    def place(self, sha256: str) -> str:
        return f"{self._root}/{sha256[:2]}/{sha256}"

    def names(self) -> list[str]:
        """Those of one shelf: a list of all films would be thousands of requests."""
        shelf = f"{int(time.time() / SHELF_S) % 256:02x}"
        with self._told():
            return [path.rpartition("/")[2] for path in self._bucket.find(f"{self._root}/{shelf}")]

    def is_older(self, sha256: str, moment: float) -> bool:
        try:
            with self._told():
                return bool(self._bucket.modified(self.place(sha256)).timestamp() < moment)
        except FileNotFoundError:
            return False

    def tidy(self, moment: float) -> None:
        pass

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except FileNotFoundError:
            raise
        except Exception as error:  # every library of buckets has its own
            away = StorageAway()
            away.__cause__ = error
            self._faults.tell("the bucket", away)
            raise away from error
        self._faults.went_well("the bucket")

    def _open(self, url: str) -> None:
        from fsspec.core import url_to_fs

        self._bucket, root = url_to_fs(url, use_listings_cache=False, skip_instance_cache=True)
        self._root = root.rstrip("/")

    def _probe(self) -> None:
        """Write, read and delete, so that missing rights are told at the start. Hosts start at once."""
        name = f"{self._root}/.cxr-{secrets.token_hex(8)}"
        self._bucket.pipe_file(name, b"cxr")
        self._bucket.cat_file(name)
        self._bucket.rm_file(name)


def _is_older(path: Path, moment: float) -> bool:
    """False also when the file is gone: an upload moves or deletes its own while this looks."""
    try:
        return path.stat().st_mtime < moment
    except FileNotFoundError:
        return False


def _cause(error: Exception) -> str:
    if isinstance(error, FileNotFoundError):
        return "there is no such bucket"
    if isinstance(error, PermissionError):
        return "the bucket gives no right to write, read and delete"
    return f"the bucket does not answer ({type(error).__name__})"
