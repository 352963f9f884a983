"""The tables of the desk, and how its database is opened."""

from enum import StrEnum
from typing import Any

import sqlalchemy as sa
from sqlalchemy import ForeignKey, Index, LargeBinary, String
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship
from sqlalchemy.schema import CreateIndex, CreateTable

from cxr.reading.report import Report

BUSY_TIMEOUT_S = 30  # how long a writer waits for another before SQLite gives up


class State(StrEnum):
    WAITING = "waiting"
    READING = "reading"
    READ = "read"
    REFUSED = "refused"
    FAILED = "failed"


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
    """The report of a film that was read. The top finding stands in columns so that lists need not parse JSON."""

    __tablename__ = "reports"

    film_id: Mapped[str] = mapped_column(ForeignKey("films.id", ondelete="CASCADE"), primary_key=True)
    json: Mapped[str] = mapped_column(deferred=True)  # Report.to_json()
    maps: Mapped[bytes] = mapped_column(LargeBinary, deferred=True)  # Report.maps_png()
    model_sha256: Mapped[str] = mapped_column(String(64))
    top_label: Mapped[str] = mapped_column(String(64))
    top_probability: Mapped[float]
    above: Mapped[int]  # findings above their operating point
    film: Mapped[FilmRow] = relationship(back_populates="report")

    def restore(self) -> Report:
        return Report.restore(self.json, self.maps)


class Refusal(Base):
    """Why a file of an upload was not taken in. Forgotten after an hour; nothing else of the file is kept."""

    __tablename__ = "refusals"

    id: Mapped[int] = mapped_column(primary_key=True)
    upload: Mapped[str] = mapped_column(String(32), index=True)
    name: Mapped[str] = mapped_column(String(200))
    sentence: Mapped[str]
    created_at: Mapped[float]


def open_database(url: str) -> sa.Engine:
    engine = sa.create_engine(url, hide_parameters=True)  # a logged database error must not carry file names
    if sa.make_url(url).get_backend_name() == "sqlite":
        sa.event.listen(engine, "connect", _configure_sqlite)
        sa.event.listen(engine, "begin", _begin_sqlite)
    return engine


def _configure_sqlite(connection: Any, _: Any) -> None:
    connection.isolation_level = None  # pysqlite's own BEGIN comes too late to be IMMEDIATE; see _begin_sqlite
    cursor = connection.cursor()
    cursor.execute(f"PRAGMA busy_timeout = {BUSY_TIMEOUT_S * 1000}")
    for pragma in ("journal_mode = WAL", "synchronous = NORMAL", "foreign_keys = ON", "secure_delete = ON"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _begin_sqlite(connection: sa.Connection) -> None:
    # A writer that began as a reader fails at once when another wrote meanwhile, whatever the busy timeout.
    writes = connection.get_execution_options().get("writes", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def create_tables(connection: sa.Connection) -> None:
    """IF NOT EXISTS, since several processes may start at once."""
    for table in Base.metadata.sorted_tables:
        connection.execute(CreateTable(table, if_not_exists=True))
        for index in table.indexes:
            connection.execute(CreateIndex(index, if_not_exists=True))
