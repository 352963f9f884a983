"""What the desk asks of SQLite: one write lock, deleted content overwritten, and room to delete on a full disk."""

import sqlite3
import time
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError

from cxr.errors import SettingError

BUSY_TIMEOUT_S = 30  # how long a writer waits for another before SQLite gives up
TRUNCATE_PATIENCE_S = 1
RESERVE_BYTES = 2**20  # deleting a film writes some tens of pages to the log before it frees anything
DRIVERS = ("sqlite", "sqlite+pysqlite")


def validate(url: sa.URL) -> None:
    """Raises SettingError for a URL that names no file."""
    if url.drivername not in DRIVERS:
        raise SettingError("CXR_DATABASE_URL names a driver that is not used here; write sqlite:////folder/FILE.")
    if not url.database or ":memory:" in url.database or url.query.get("mode") == "memory":
        raise SettingError("CXR_DATABASE_URL names no file; write sqlite:////folder/desk.sqlite3, or leave it empty.")


def connect(url: sa.URL) -> sa.Engine:
    engine = sa.create_engine(url, hide_parameters=True)  # logged errors must not carry file names
    sa.event.listen(engine, "connect", _configure)
    sa.event.listen(engine, "begin", _begin)
    return engine


def lock(connection: sa.Connection, names: Iterable[str], *, shared: bool = False) -> None:
    """Nothing: a transaction that writes has held the only lock there is since it began."""


def clock() -> sa.ColumnElement[float]:
    """Now, in seconds since 1970: all processes that share an SQLite file share its machine's clock."""
    return sa.literal(time.time())


def cause(error: Exception, _: sa.URL) -> str:
    """What SQLite itself says, which names no URL."""
    said = error.orig if isinstance(error, DBAPIError) else error
    return str(said) if isinstance(said, sqlite3.Error) else "its URL has a part that SQLite does not know"


def scrub(engine: sa.Engine) -> bool:
    """Bring the write-ahead log into the database, and empty it. False while somebody reads in it."""
    with closing(engine.raw_connection()) as connection:
        cursor = connection.cursor()
        cursor.execute(f"PRAGMA busy_timeout = {TRUNCATE_PATIENCE_S * 1000}")
        busy = cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
        cursor.execute(f"PRAGMA busy_timeout = {BUSY_TIMEOUT_S * 1000}")
    return not busy


def keep_room(engine: sa.Engine) -> None:
    """Hold some room beside the database. Raises OSError when the disk has none."""
    reserve = _reserve(engine)
    if not reserve.exists():
        try:
            reserve.write_bytes(bytes(RESERVE_BYTES))
        except OSError:
            reserve.unlink(missing_ok=True)
            raise


def make_room(engine: sa.Engine) -> bool:
    """Give the room up; False when that was done before."""
    kept = _reserve(engine).exists()
    _reserve(engine).unlink(missing_ok=True)
    return kept


def _reserve(engine: sa.Engine) -> Path:
    return Path(f"{engine.url.database}-reserve")


def _configure(connection: Any, _: Any) -> None:
    connection.isolation_level = None  # pysqlite's own BEGIN comes too late to be IMMEDIATE; see _begin
    # FULL: a film that was acknowledged stays through a power cut; with NORMAL the last commits of the log may be lost.
    pragmas = ("journal_mode = WAL", "synchronous = FULL", "foreign_keys = ON", "secure_delete = ON")
    try:
        for pragma in (f"busy_timeout = {BUSY_TIMEOUT_S * 1000}", *pragmas):
            connection.execute(f"PRAGMA {pragma}").close()
    except sqlite3.Error:
        connection.close()
        raise


def _begin(connection: sa.Connection) -> None:
    # A writer that began as a reader fails at once when another wrote meanwhile, whatever the busy timeout.
    writes = connection.get_execution_options().get("writes", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")
