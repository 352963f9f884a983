"""A backup of a desk in one ZIP file, made while the desk runs, and the desk made from it again.

    films/<sha256>       bytes of each film as uploaded; the name is their hash
    desk.sqlite3         the database as it was at one moment
    manifest.json        Manifest: versions, and the hash and size of each file above; written last

Film bytes never change, so those that the copied database names can be copied afterwards, one by one.
"""

import hashlib
import json
import os
import shutil
import sqlite3
import tempfile
import time
import zipfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any

from cxr import __version__
from cxr.desk.instance import DATABASE
from cxr.desk.migrations import validate
from cxr.desk.storage import Storage
from cxr.desk.store import Store
from cxr.errors import CxrError

FORMAT = 1
MANIFEST = "manifest.json"
LARGEST_MANIFEST = 2**28  # bytes: more than a million films
CHUNK = 2**20
CANNOT_BE_READ = (zipfile.BadZipFile, zipfile.LargeZipFile, EOFError, NotImplementedError, RuntimeError, KeyError)


class BackupError(CxrError):
    """A backup cannot be made, or a file cannot be restored from."""


@dataclass(frozen=True)
class Stored:
    """Hash and size of a file in the backup."""

    sha256: str
    bytes: int


@dataclass(frozen=True)
class Manifest:
    """What a backup holds."""

    format: int
    cxr: str
    schema: str
    made_at: float  # seconds since 1970 (UTC)
    database: Stored
    films: dict[str, int]  # sha256 -> bytes

    @classmethod
    def from_json(cls, text: bytes) -> "Manifest":
        """Raises ValueError, TypeError or KeyError for what is none."""
        given: dict[str, Any] = json.loads(text)
        films = {str(sha256): int(count) for sha256, count in given["films"].items()}
        if not all(len(sha256) == 64 and set(sha256) <= set("0123456789abcdef") for sha256 in films):
            raise ValueError("a film is not named by a SHA-256")
        database = Stored(str(given["database"]["sha256"]), int(given["database"]["bytes"]))
        return cls(
            int(given["format"]), str(given["cxr"]), str(given["schema"]), float(given["made_at"]), database, films
        )


# --- making one ---


def back_up(store: Store, target: Path) -> Manifest:
    """Write the backup to `target`, which is replaced when all of it is written.

    Raises:
        BackupError: the database or the bytes of a film are damaged, the target cannot be written, or the database is
            not SQLite.
    """
    if store.engine.dialect.name != "sqlite":
        raise BackupError(
            "The desk's database is PostgreSQL, which has a tool of its own for backups: run pg_dump, then copy the "
            "storage of films; docs/many-desks.md says how."
        )
    with _told("The backup cannot be written"), _part_of(target) as (folder, part):
        copy = folder / DATABASE
        _copy_database(store, copy)
        with zipfile.ZipFile(part, "w", zipfile.ZIP_STORED) as file:
            films = _pack_films(store, copy, file)
            manifest = Manifest(FORMAT, __version__, _schema(copy), time.time(), _stored(copy), films)
            file.write(copy, DATABASE)
            file.writestr(MANIFEST, json.dumps(asdict(manifest), indent=1))
        part.replace(target)
    return manifest


@contextmanager
def _part_of(target: Path) -> Iterator[tuple[Path, Path]]:
    """A folder of our own beside the target, since it holds films of patients; gone afterwards."""
    with tempfile.TemporaryDirectory(dir=target.absolute().parent, prefix=".cxr-backup-") as name:
        part = Path(name) / "part"
        os.close(os.open(part, os.O_CREAT | os.O_WRONLY, 0o600))
        yield Path(name), part


def _copy_database(store: Store, copy: Path) -> None:
    with closing(sqlite3.connect(copy)) as target:
        with closing(store.engine.raw_connection()) as source:
            source.driver_connection.backup(target)  # type: ignore[union-attr]
        target.execute("PRAGMA journal_mode = DELETE")  # one file, without a log beside it
        _validate_whole(target)
        _forget_passing(target)


def _forget_passing(database: sqlite3.Connection) -> None:
    """What the desk keeps for hours and a backup for years: sessions, and the patients that people searched for."""
    database.execute("PRAGMA secure_delete = ON")
    for table in ("searches", "sign_ins"):
        database.execute(f"DELETE FROM {table}")
    database.commit()


def _validate_whole(database: sqlite3.Connection) -> None:
    found = database.execute("PRAGMA integrity_check(1)").fetchone()[0]
    if found != "ok":
        raise BackupError("The database is damaged; restore the last good backup instead.")


def _pack_films(store: Store, copy: Path, file: zipfile.ZipFile) -> dict[str, int]:
    """The films that the copied database names, all of them; a film that is deleted meanwhile leaves the copy too."""
    films: dict[str, int] = {}
    with closing(sqlite3.connect(copy)) as database:
        database.execute("PRAGMA foreign_keys = ON")
        database.execute("PRAGMA secure_delete = ON")
        for (sha256,) in database.execute("SELECT DISTINCT sha256 FROM films ORDER BY sha256").fetchall():
            try:
                films[sha256] = _pack(store.storage, sha256, file)
            except FileNotFoundError:
                if store.names(sha256):
                    place = store.storage.place(sha256)
                    raise BackupError(f"The bytes of a film are missing ({place}); delete that film first.") from None
                database.execute("DELETE FROM films WHERE sha256 = ?", (sha256,))
        database.commit()
    return films


def _pack(storage: Storage, sha256: str, file: zipfile.ZipFile) -> int:
    """Copies one film; its size."""
    content = storage.read(sha256)
    if hashlib.sha256(content).hexdigest() != sha256:
        place = storage.place(sha256)
        raise BackupError(f"The bytes of a film are damaged where they are stored ({place}); delete that film first.")
    file.writestr(f"films/{sha256}", content)
    return len(content)


def _schema(copy: Path) -> str:
    with closing(sqlite3.connect(copy)) as database:
        return str(database.execute("SELECT version_num FROM alembic_version").fetchone()[0])


def _stored(path: Path) -> Stored:
    with path.open("rb") as file:
        return Stored(hashlib.file_digest(file, "sha256").hexdigest(), path.stat().st_size)


# --- restoring from one ---


def restore(source: Path, folder: Path) -> Manifest:
    """Make the instance folder of a desk from a backup; nothing is there if anything goes wrong.

    Raises:
        BackupError: the folder holds something, or the file is damaged, or no backup.
        SettingError: a newer version of cxr made the backup.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise BackupError(f"{folder} holds something already; name a new or an empty folder.")
    with _told(f"{folder} cannot be written"):
        folder.absolute().parent.mkdir(parents=True, exist_ok=True)
        part = Path(tempfile.mkdtemp(dir=folder.absolute().parent, prefix=".cxr-restore-"))
    try:
        with _told(f"{source} cannot be restored to {folder}"):
            manifest = _unpack(source, part)
            part.replace(folder)
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return manifest


def _unpack(source: Path, folder: Path) -> Manifest:
    try:
        with zipfile.ZipFile(source) as file:
            manifest = _read_manifest(source, file)
            _unpack_file(file, DATABASE, manifest.database, folder / DATABASE)
            for sha256, count in manifest.films.items():
                _unpack_file(file, f"films/{sha256}", Stored(sha256, count), folder / "films" / sha256[:2] / sha256)
    except CANNOT_BE_READ:
        raise BackupError(f"{source} is damaged, or no backup of a desk; take another backup.") from None
    with closing(sqlite3.connect(folder / DATABASE)) as database:
        _validate_whole(database)
        database.execute("DELETE FROM sign_ins")  # which older backups still hold: whoever was signed in is not now
        if database.execute("SELECT 1 FROM sqlite_master WHERE name = 'bound_storage'").fetchone():
            database.execute("DELETE FROM bound_storage")  # bound anew: the old storage may hold films that came later
        database.commit()
    return manifest


def _read_manifest(source: Path, file: zipfile.ZipFile) -> Manifest:
    if file.getinfo(MANIFEST).file_size > LARGEST_MANIFEST:
        raise zipfile.BadZipFile
    try:
        manifest = Manifest.from_json(file.read(MANIFEST))
    except (ValueError, TypeError, AttributeError) as error:
        raise zipfile.BadZipFile from error
    if manifest.format > FORMAT:
        raise BackupError(f"{source} was made by a newer version of cxr ({manifest.cxr[:32]}); install that version.")
    validate(manifest.schema, "backup")
    return manifest


def _unpack_file(file: zipfile.ZipFile, name: str, stored: Stored, path: Path) -> None:
    """Only names that we make ourselves, and no more bytes than the manifest says."""
    path.parent.mkdir(parents=True, exist_ok=True)
    hashed, left = hashlib.sha256(), stored.bytes
    with file.open(name) as source, path.open("wb") as target:
        while chunk := _read_at_most(source, left):
            hashed.update(chunk)
            left -= target.write(chunk)
    if left or hashed.hexdigest() != stored.sha256:
        raise zipfile.BadZipFile


def _read_at_most(source: IO[bytes], left: int) -> bytes:
    chunk = source.read(min(CHUNK, left + 1))
    if len(chunk) > left:
        raise zipfile.BadZipFile
    return chunk


@contextmanager
def _told(what: str) -> Iterator[None]:
    """Faults of the system and of SQLite, as a sentence."""
    try:
        yield
    except OSError as error:
        raise BackupError(f"{what} ({error.strerror or 'the disk does not answer'}).") from error
    except sqlite3.Error as error:
        raise BackupError(f"{what}: the database is damaged or locked ({error}).") from error
