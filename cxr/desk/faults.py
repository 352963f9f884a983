"""Faults of the disk and of the database, as errors that people can do something about."""

import errno
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy.exc import DBAPIError, OperationalError

from cxr.errors import CxrError


class DiskFull(CxrError):
    """The disk of the instance folder, or that of temporary files, has no room left."""

    status = 507

    def __init__(self) -> None:
        super().__init__(
            "The desk's disk is full; nothing was stored. Make room on it, for example by deleting films, "
            "and send the film again."
        )


class Busy(CxrError):
    """Somebody else has been writing to the database for longer than anybody should wait."""

    status, retry_after_s = 503, 5

    def __init__(self) -> None:
        super().__init__("The desk's database is busy; nothing was changed. Try again in a moment.")


class Damaged(CxrError):
    """The database file was altered by something that is not SQLite."""

    def __init__(self) -> None:
        super().__init__("The desk's database is damaged. Close the desk and restore its last backup.")


@contextmanager
def told_when_full() -> Iterator[None]:
    try:
        yield
    except (OSError, OperationalError) as error:
        if is_full(error):
            raise DiskFull from error
        raise


def is_full(error: Exception) -> bool:
    """Whether an error of the system or of SQLite says that there is no room left."""
    if isinstance(error, OSError):
        return error.errno in (errno.ENOSPC, errno.EDQUOT)
    return getattr(getattr(error, "orig", None), "sqlite_errorcode", None) == sqlite3.SQLITE_FULL


def database_fault(error: DBAPIError) -> CxrError | None:
    """What an error of SQLite means for people; None: a fault of the program."""
    code = getattr(error.orig, "sqlite_errorcode", 0) & 0xFF  # without the extended part
    faults: dict[int, type[DiskFull | Busy | Damaged]] = {
        sqlite3.SQLITE_FULL: DiskFull, sqlite3.SQLITE_BUSY: Busy, sqlite3.SQLITE_LOCKED: Busy,
        sqlite3.SQLITE_CORRUPT: Damaged, sqlite3.SQLITE_NOTADB: Damaged,
    }  # fmt: skip
    return faults[code]() if code in faults else None
