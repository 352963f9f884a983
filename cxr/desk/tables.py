"""The tables of the desk, and how its database is opened."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from enum import StrEnum
from typing import Any

import sqlalchemy as sa
from sqlalchemy import ForeignKey, Index, LargeBinary, String
from sqlalchemy.exc import ArgumentError, DBAPIError, SQLAlchemyError
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, relationship

from cxr.desk.migrations import upgrade
from cxr.errors import SettingError
from cxr.reading.report import Report

BUSY_TIMEOUT_S = 30  # how long a writer waits for another before SQLite gives up
TRUNCATE_PATIENCE_S = 1
DRIVERS = ("sqlite", "sqlite+pysqlite")


class State(StrEnum):
    WAITING = "waiting"
    READING = "reading"
    READ = "read"
    REFUSED = "refused"
    FAILED = "failed"


UNREAD = (State.WAITING, State.READING)


class Base(DeclarativeBase):
    pass


class FilmRow(Base):
    """One film that was taken in. Times are seconds since 1970 (UTC)."""

    __tablename__ = "films"
    __table_args__ = (Index("films_newest", "created_at", "id"), Index("films_unread", "state", "lease_until"))

    id: Mapped[str] = mapped_column(String(32), primary_key=True)  # random: nobody guesses another film's address
    sha256: Mapped[str] = mapped_column(String(64), index=True)  # of the bytes as uploaded; names the stored file
    name: Mapped[str] = mapped_column(String(200))  # a label for people, never a path
    format: Mapped[str] = mapped_column(String(16))
    task: Mapped[str] = mapped_column(String(64))
    upload: Mapped[str] = mapped_column(String(32), index=True)  # films that came together share it
    state: Mapped[str] = mapped_column(String(16), default=State.WAITING)
    error: Mapped[str] = mapped_column(default="")  # the sentence that says why it failed or was refused
    claim: Mapped[str] = mapped_column(String(32), default="")  # whoever holds it may write the answer
    lease_until: Mapped[float]
    attempts: Mapped[int] = mapped_column(default=0)
    gradcam: Mapped[str] = mapped_column(String(64), default="")  # folder under static/gradcam; empty: none wanted
    gradcam_written: Mapped[bool] = mapped_column(default=False)
    created_at: Mapped[float]
    read_at: Mapped[float | None]
    thumbnail: Mapped[bytes] = mapped_column(LargeBinary, deferred=True)
    report: Mapped["ReportRow | None"] = relationship(back_populates="film", passive_deletes=True)


class ReportRow(Base):
    """The report of a film that was read or refused. The top finding stands in columns, so that lists parse no JSON."""

    __tablename__ = "reports"

    film_id: Mapped[str] = mapped_column(ForeignKey("films.id", ondelete="CASCADE"), primary_key=True)
    json: Mapped[str] = mapped_column(deferred=True)  # Report.to_json()
    maps: Mapped[bytes] = mapped_column(LargeBinary, deferred=True)  # Report.maps_png()
    model_sha256: Mapped[str] = mapped_column(String(64))
    top_label: Mapped[str] = mapped_column(String(64))  # empty: refused, nothing was read
    top_probability: Mapped[float]
    above: Mapped[int]  # alarms
    film: Mapped[FilmRow] = relationship(back_populates="report")

    def restore(self) -> Report:
        return Report.restore(self.json, self.maps)


class AnswerRow(Base):
    """What a clinician said of a film or of one of its findings. Rows are only added: the latest of a person counts."""

    __tablename__ = "answers"

    id: Mapped[int] = mapped_column(primary_key=True)
    film_id: Mapped[str] = mapped_column(ForeignKey("films.id", ondelete="CASCADE"), index=True)
    label: Mapped[str] = mapped_column(String(64))  # empty: of the film as a whole
    verdict: Mapped[str] = mapped_column(String(16))  # empty: none, or withdrawn
    text: Mapped[str]
    by: Mapped[str] = mapped_column(String(80))  # the account's name, or the one that was typed; empty: none
    at: Mapped[float]
    person_id: Mapped[int | None]  # the account, which is never deleted; None: nobody was signed in
    browser: Mapped[str] = mapped_column(String(32), default="")  # tells those apart who gave no name at all


class Refusal(Base):
    """Why a file of an upload was not taken in. Forgotten after an hour; nothing else of the file is kept."""

    __tablename__ = "refusals"

    id: Mapped[int] = mapped_column(primary_key=True)
    upload: Mapped[str] = mapped_column(String(32), index=True)
    name: Mapped[str] = mapped_column(String(200))
    sentence: Mapped[str]
    created_at: Mapped[float]


class UploadKey(Base):
    """The film that a client's key led to: a repeated upload is answered with it. Gone with the film."""

    __tablename__ = "upload_keys"

    key: Mapped[str] = mapped_column(String(128), primary_key=True)
    film_id: Mapped[str] = mapped_column(ForeignKey("films.id", ondelete="CASCADE"), index=True)


class DiscardedHeatmaps(Base):
    """Folder under static/gradcam of a deleted film, listed until it is gone and nobody can still be writing to it."""

    __tablename__ = "discarded_heatmaps"

    gradcam: Mapped[str] = mapped_column(String(64), primary_key=True)
    discarded_at: Mapped[float]


def open_database(url: str | sa.URL) -> sa.Engine:
    """The database, brought up to date.

    Raises:
        SettingError: the URL is none, is not one of an SQLite file, the file cannot be opened, or a newer version of
            cxr wrote it. It never echoes the URL, in which a password may stand.
    """
    file = _validate_url(url)
    try:
        return _open(file)
    except (SQLAlchemyError, sqlite3.Error, ValueError, TypeError) as error:  # the last two: options of the URL
        raise SettingError(
            f"The database cannot be opened ({_cause(error)}); look at CXR_DATABASE_URL and at CXR_INSTANCE_PATH."
        ) from None


def reading(engine: sa.Engine) -> Session:
    """Rows stay usable after it is closed."""
    return Session(engine, expire_on_commit=False)


@contextmanager
def writing(engine: sa.Engine) -> Iterator[Session]:
    """One transaction, which holds the write lock from its beginning."""
    with Session(engine.execution_options(writes=True), expire_on_commit=False) as session, session.begin():
        yield session


def truncate_log(engine: sa.Engine) -> bool:
    """Bring SQLite's write-ahead log into the database, and empty it. False while somebody reads in it."""
    with closing(engine.raw_connection()) as connection:
        cursor = connection.cursor()
        cursor.execute(f"PRAGMA busy_timeout = {TRUNCATE_PATIENCE_S * 1000}")
        busy = cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
        cursor.execute(f"PRAGMA busy_timeout = {BUSY_TIMEOUT_S * 1000}")
    return not busy


def _open(url: sa.URL) -> sa.Engine:
    engine = sa.create_engine(url, hide_parameters=True)  # logged errors must not carry file names
    sa.event.listen(engine, "connect", _configure_sqlite)
    sa.event.listen(engine, "begin", _begin_sqlite)
    try:
        with engine.execution_options(writes=True).begin() as connection:
            upgrade(connection)
    except Exception:
        engine.dispose()
        raise
    return engine


def _validate_url(url: str | sa.URL) -> sa.URL:
    try:
        parsed = sa.make_url(url)
    except (ArgumentError, ValueError):
        raise SettingError(
            "CXR_DATABASE_URL is not a database URL; write sqlite:////folder/desk.sqlite3, or leave it empty."
        ) from None
    if parsed.drivername not in DRIVERS:  # bytes and rows go and come together only under SQLite's one write lock
        raise SettingError(
            f"CXR_DATABASE_URL names a database of {parsed.get_backend_name()}; only SQLite is supported for now. "
            "Write sqlite:////folder/desk.sqlite3, or leave it empty."
        )
    if not parsed.database or ":memory:" in parsed.database or parsed.query.get("mode") == "memory":
        raise SettingError("CXR_DATABASE_URL names no file; write sqlite:////folder/desk.sqlite3, or leave it empty.")
    return parsed


def _cause(error: Exception) -> str:
    """What SQLite itself says, which names no URL."""
    said = error.orig if isinstance(error, DBAPIError) else error
    return str(said) if isinstance(said, sqlite3.Error) else "its URL has a part that SQLite does not know"


def _configure_sqlite(connection: Any, _: Any) -> None:
    connection.isolation_level = None  # pysqlite's own BEGIN comes too late to be IMMEDIATE; see _begin_sqlite
    pragmas = ("journal_mode = WAL", "synchronous = NORMAL", "foreign_keys = ON", "secure_delete = ON")
    try:
        for pragma in (f"busy_timeout = {BUSY_TIMEOUT_S * 1000}", *pragmas):
            connection.execute(f"PRAGMA {pragma}").close()
    except sqlite3.Error:
        connection.close()
        raise


def _begin_sqlite(connection: sa.Connection) -> None:
    # A writer that began as a reader fails at once when another wrote meanwhile, whatever the busy timeout.
    writes = connection.get_execution_options().get("writes", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")
