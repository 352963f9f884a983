"""The tables of the desk, and how its database is opened."""

import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from enum import StrEnum
from typing import Protocol, TypeVar

import sqlalchemy as sa
from sqlalchemy import ForeignKey, Index, LargeBinary, String
from sqlalchemy.exc import ArgumentError, OperationalError, SQLAlchemyError
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, relationship

from cxr.desk import postgresql, sqlite
from cxr.desk.faults import is_full
from cxr.desk.migrations import upgrade
from cxr.errors import SettingError
from cxr.reading.report import Report

T = TypeVar("T")
UNSYNCED = {"synchronize_session": False}  # of a statement whose session holds none of the rows that it changes
DESK = "desk"  # the lock of all writers that name no other


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
    anyway: Mapped[bool] = mapped_column(default=False, server_default=sa.false())  # read it though it is refused
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


class _Kind(Protocol):
    """What differs between databases."""

    def validate(self, url: sa.URL, /) -> None: ...
    def connect(self, url: sa.URL, /) -> sa.Engine: ...
    def lock(self, connection: sa.Connection, names: Iterable[str], /, *, shared: bool = False) -> None: ...
    def clock(self) -> sa.ColumnElement[float]: ...
    def cause(self, error: Exception, url: sa.URL, /) -> str: ...
    def scrub(self, engine: sa.Engine, /) -> bool: ...
    def keep_room(self, engine: sa.Engine, /) -> None: ...
    def make_room(self, engine: sa.Engine, /) -> bool: ...


KINDS: Mapping[str, _Kind] = {"sqlite": sqlite, "postgresql": postgresql}


def open_database(url: str | sa.URL) -> sa.Engine:
    """The database, brought up to date.

    Raises:
        SettingError: the URL is none, the database cannot be opened, or a newer version of cxr wrote it. It never
            echoes the URL, in which a password may stand.
    """
    parsed = _parse(url)
    kind = KINDS[parsed.get_backend_name()]
    kind.validate(parsed)
    try:
        return _open(kind, parsed)
    except (SQLAlchemyError, sqlite3.Error, ValueError, TypeError) as error:  # the last two: options of the URL
        raise SettingError(
            f"The database cannot be opened ({kind.cause(error, parsed)}); look at CXR_DATABASE_URL and at "
            "CXR_INSTANCE_PATH."
        ) from None


def reading(engine: sa.Engine) -> Session:
    """Rows stay usable after it is closed."""
    return Session(engine, expire_on_commit=False)


@contextmanager
def writing(engine: sa.Engine, locks: Iterable[str] = (DESK,)) -> Iterator[Session]:
    """One transaction, alone with what it looks at before it writes.

    SQLite's one write lock is held from the beginning. PostgreSQL has many writers: only those that name one of the
    same `locks` wait for each other. Without any, each statement must be right whatever others do meanwhile.
    """
    with Session(engine.execution_options(writes=True), expire_on_commit=False) as session, session.begin():
        KINDS[engine.dialect.name].lock(session.connection(), locks)
        yield session


def hold(session: Session, name: str, *, shared: bool = False) -> None:
    """Wait for one more lock, until the transaction ends. Those who share it wait for whoever holds it alone."""
    KINDS[session.connection().dialect.name].lock(session.connection(), (name,), shared=shared)


def clock(engine: sa.Engine) -> sa.ColumnElement[float]:
    """Now by the clock that all desks of a database share, for statements: seconds since 1970."""
    return KINDS[engine.dialect.name].clock()


def scrub(engine: sa.Engine) -> bool:
    """See that nothing of what was deleted stands beside the tables. False: somebody reads there, try again."""
    return KINDS[engine.dialect.name].scrub(engine)


def keep_room(engine: sa.Engine) -> None:
    """Hold back some of the disk, so that films can be deleted when it is full. Raises OSError when it is."""
    KINDS[engine.dialect.name].keep_room(engine)


def with_room(engine: sa.Engine, write: Callable[[], T]) -> T:
    """What `write` returns; on a full disk it is called again, with the room that was held back."""
    try:
        return write()
    except OperationalError as error:
        if not is_full(error) or not KINDS[engine.dialect.name].make_room(engine):
            raise
        return write()


def _open(kind: _Kind, url: sa.URL) -> sa.Engine:
    engine = kind.connect(url)
    try:
        with engine.execution_options(writes=True).begin() as connection:
            kind.lock(connection, (DESK,))
            upgrade(connection)
    except Exception:
        engine.dispose()
        raise
    return engine


def _parse(url: str | sa.URL) -> sa.URL:
    forms = "write sqlite:////folder/desk.sqlite3 or postgresql+psycopg://USER:PASSWORD@HOST/NAME, or leave it empty."
    try:
        parsed = sa.make_url(url)
    except (ArgumentError, ValueError):
        raise SettingError(f"CXR_DATABASE_URL is not a database URL; {forms}") from None
    if parsed.get_backend_name() not in KINDS:
        raise SettingError(f"CXR_DATABASE_URL names neither SQLite nor PostgreSQL; {forms}")
    return parsed
