"""Faults of the disk and of the database, as errors that people can do something about."""

import errno
import logging
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy.exc import DataError, DBAPIError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

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


class Away(CxrError):
    """The database server does not answer."""

    status, retry_after_s = 503, 5

    def __init__(self) -> None:
        super().__init__("The desk's database does not answer; nothing was changed. Try again in a moment.")


class StorageAway(CxrError):
    """The bucket does not answer, or refuses, or nothing is mounted where the folder of films was."""

    status, retry_after_s = 503, 5

    def __init__(self) -> None:
        super().__init__("The desk's storage of films does not answer; nothing was changed. Try again in a moment.")


class StoredYet(CxrError):
    """Films were stored, and what came after them failed. As `g.halfway` it is told instead of what failed."""

    status, retry_after_s = 503, 5

    def __init__(self, count: int) -> None:
        films = "The film is stored and will be read" if count == 1 else f"{count} films are stored and will be read"
        super().__init__(
            f"{films}, but then the desk failed to answer as it should. Look at the list of films in a moment before "
            "anything is sent again."
        )


class DeletedInPart(CxrError):
    """Some of many films were deleted, and then something failed. As `g.halfway` it is told instead of that."""

    status, retry_after_s = 503, 5

    def __init__(self) -> None:
        super().__init__(
            "The desk failed before all of these films were deleted. Look at the list of films, and delete those that "
            "are left."
        )


class NoRights(CxrError):
    """The database server does not let the desk write."""

    status = 503

    def __init__(self) -> None:
        super().__init__("The desk has no right to write to its database; whoever runs the desk can mend that.")


class CannotBeStored(CxrError):
    """The request holds something that PostgreSQL has no place for: a NUL character, a number out of range."""

    status = 400

    def __init__(self) -> None:
        super().__init__("The request holds a character or a number that cannot be stored; nothing was changed.")


class Damaged(CxrError):
    """The database was altered by something that is not the database."""

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


def is_outside(error: Exception) -> bool:
    """Whether a fault lies in the storage, the database or the machine, and not in the film or in the program."""
    if isinstance(error, DBAPIError | PoolTimeout):
        known = database_fault(error)
        return isinstance(error, OperationalError) or (known is not None and not isinstance(known, CannotBeStored))
    return isinstance(error, StorageAway | OSError | MemoryError)


def waited_in_vain(error: Exception) -> bool:
    """Whether the database was locked, or did not answer, for as long as anybody should wait."""
    return isinstance(error, DBAPIError | PoolTimeout) and isinstance(database_fault(error), Busy | Away)


def in_brief(error: BaseException) -> str:
    """What failed, and for what reason, in one line of the log."""
    chain = [error, error.__cause__] if error.__cause__ else [error]
    return " <- ".join(f"{type(one).__name__}: {(str(one).splitlines() or [''])[0]}" for one in chain)


class FaultLog:
    """Tells of a fault when it begins or changes, and when it is over: not each time, and never not at all."""

    def __init__(self, log: logging.Logger) -> None:
        self._log = log
        self._faults: dict[str, tuple[type, type]] = {}

    def tell(self, what: str, error: Exception) -> None:
        fault = type(error), type(error.__cause__)
        if self._faults.get(what) != fault:
            self._faults[what] = fault
            unforeseen = not (isinstance(error, CxrError) or is_outside(error))
            self._log.error("%s fails: %s", what, in_brief(error), exc_info=error if unforeseen else None)

    def lasts(self, what: str) -> bool:
        return what in self._faults

    def went_well(self, what: str) -> None:
        if self._faults.pop(what, None):
            self._log.warning("%s goes well again", what)


def is_full(error: Exception) -> bool:
    """Whether an error of the system or of the database says that there is no room left."""
    if isinstance(error, OSError):
        return error.errno in (errno.ENOSPC, errno.EDQUOT)
    return isinstance(error, DBAPIError) and isinstance(database_fault(error), DiskFull)


SQLITE: dict[int, type[CxrError]] = {
    sqlite3.SQLITE_FULL: DiskFull,
    sqlite3.SQLITE_BUSY: Busy,
    sqlite3.SQLITE_LOCKED: Busy,
    sqlite3.SQLITE_CORRUPT: Damaged,
    sqlite3.SQLITE_NOTADB: Damaged,
}
POSTGRESQL: dict[str, type[CxrError]] = {  # SQLSTATE; PostgreSQL documentation, appendix A
    "53100": DiskFull,
    "53300": Busy,  # too many connections
    "55P03": Busy,  # lock_not_available: lock_timeout
    "40001": Busy,
    "40P01": Busy,  # deadlock
    "57014": Busy,  # query_canceled: statement_timeout
    "XX001": Damaged,
    "XX002": Damaged,
    "42501": NoRights,
    "25006": NoRights,  # read_only_sql_transaction: a standby
}


def database_fault(error: DBAPIError | PoolTimeout) -> CxrError | None:
    """What an error of the database means for people; None: a fault of the program."""
    if isinstance(error, PoolTimeout):  # every connection of this process is in use
        return Busy()
    said = error.orig
    if isinstance(said, sqlite3.Error):
        fault = SQLITE.get(getattr(said, "sqlite_errorcode", 0) & 0xFF)  # without the extended part
    elif isinstance(error, DataError):
        fault = CannotBeStored
    else:
        state = getattr(said, "sqlstate", None)
        lost = isinstance(error, OperationalError) and (state is None or state.startswith(("08", "57P")))
        fault = Away if lost else POSTGRESQL.get(state or "")
    return fault() if fault else None
