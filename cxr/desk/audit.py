"""The log of who did what and when: append-only, each row bound to the one before it by a hash.

It holds names of people, ids of films and words of this project: nothing of a patient, and no text that anybody typed.
"""

import csv
import hashlib
import io
import json
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import ColumnElement, Engine, Index, String, select, text
from sqlalchemy.orm import Mapped, Session, mapped_column

from cxr.desk.people_tables import NAME_LENGTH
from cxr.desk.tables import Base, hold, reading, with_room, writing

GENESIS = "0" * 64  # what the first row is bound to
COLUMNS = ("id", "at", "person", "action", "film_id", "detail", "hash")
DETAIL_LENGTH = 1000
CHUNK = 1000  # rows in memory at once
COMMAND_LINE = "(command line)"  # persons in brackets have no account, and no account may have brackets in its name
DESK = "(desk)"
LOCK = "audit"  # rows are bound together one after the other
LAST_NUMBER = {  # of each database: kept by itself, and never lowered
    "sqlite": text("SELECT seq FROM sqlite_sequence WHERE name = 'audit'"),
    "postgresql": text("SELECT number FROM audit_last"),
}


class AuditRow(Base):
    """One thing that happened. Triggers of the database refuse its change and its deletion."""

    __tablename__ = "audit"
    __table_args__ = (
        Index("audit_of_film", "film_id", "id"),
        Index("audit_of_person", "person", "id"),
        {"sqlite_autoincrement": True},
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    at: Mapped[float]  # seconds since 1970 (UTC)
    person: Mapped[str] = mapped_column(String(NAME_LENGTH))
    action: Mapped[str] = mapped_column(String(32))
    film_id: Mapped[str] = mapped_column(String(32))
    detail: Mapped[str] = mapped_column(String(DETAIL_LENGTH))
    hash: Mapped[str] = mapped_column(String(64))  # SHA-256 of the hash before it and of all other columns

    def bound_to(self, before: str) -> str:
        """The hash that this row must have, after a row whose hash is `before`."""
        fields = [before, *(getattr(self, name) for name in COLUMNS[:-1])]
        # repr: an altered row may hold what JSON has no place for
        return hashlib.sha256(json.dumps(fields, ensure_ascii=False, default=repr).encode()).hexdigest()


@dataclass(frozen=True)
class Entry:
    """What is to be logged."""

    person: str
    action: str
    film_id: str = ""
    detail: str = ""


@dataclass(frozen=True)
class Wanted:
    """Which rows of the log are looked for; empty: all. Moments in seconds since 1970, `until` left out."""

    person: str = ""
    action: str = ""
    film_id: str = ""
    since: float | None = None
    until: float | None = None

    def conditions(self) -> list[ColumnElement[bool]]:
        named = {"person": self.person, "action": self.action, "film_id": self.film_id}
        found = [getattr(AuditRow, column) == value for column, value in named.items() if value]
        found += [AuditRow.at >= self.since] if self.since is not None else []
        return found + ([AuditRow.at < self.until] if self.until is not None else [])


@dataclass(frozen=True)
class Verdict:
    """What `AuditLog.verify` found. `head`: hash of the last row, which binds all of them; keep it elsewhere."""

    rows: int
    head: str
    trouble: str  # empty: the log is whole


class AuditLog:
    """Safe to share among threads and processes: rows are bound together under a lock of the database."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def record(self, *entries: Entry, quiet_s: float = 0) -> None:
        """Append rows. With `quiet_s`, not those that stand in the log already and are no older than that."""
        if quiet_s:
            with reading(self._engine) as session:
                entries = tuple(entry for entry in entries if not _is_told(session, entry, quiet_s))
        if entries:
            with_room(self._engine, lambda: self._append(entries))

    def page(self, wanted: Wanted, size: int, before: int | None = None) -> list[AuditRow]:
        """Rows, newest first, older than that of the number `before`."""
        conditions = wanted.conditions() + ([AuditRow.id < before] if before is not None else [])
        with reading(self._engine) as session:
            return list(session.scalars(select(AuditRow).where(*conditions).order_by(AuditRow.id.desc()).limit(size)))

    def last(self, action: str) -> AuditRow | None:
        """The newest row of an action."""
        return next(iter(self.page(Wanted(action=action), 1)), None)

    def rows(self, wanted: Wanted) -> Iterator[AuditRow]:
        """All of them, oldest first, of which few are in memory at once."""
        last = 0
        while chunk := self._after(wanted, last):
            yield from chunk
            last = chunk[-1].id

    def verify(self, head: str = "") -> Verdict:
        """Whether every row is as it was written, and none is missing; also of `head`, if given, whether it is there.

        Whoever can write to the database can bind a forged log together anew: then only a `head` that was kept
        elsewhere tells.
        """
        before, count, seen = GENESIS, 0, not head
        for row in self.rows(Wanted()):
            count += 1
            if row.id != count:
                return Verdict(count - 1, before, f"row {count} is missing")
            if row.hash != row.bound_to(before):
                return Verdict(count - 1, before, f"row {row.id} is not as it was written")
            before, seen = row.hash, seen or row.hash == head
        with reading(self._engine) as session:
            trouble = f"row {count + 1} is missing" if count < _last_number(session) else ""
        return Verdict(count, before, trouble or ("" if seen else f"no row has the hash {head[:64]}"))

    def _append(self, entries: Iterable[Entry]) -> None:
        with writing(self._engine, ()) as session:
            tell(session, *entries)

    def _after(self, wanted: Wanted, number: int) -> list[AuditRow]:
        following = select(AuditRow).where(*wanted.conditions(), AuditRow.id > number).order_by(AuditRow.id)
        with reading(self._engine) as session:
            return list(session.scalars(following.limit(CHUNK)))


def tell(session: Session, *entries: Entry) -> None:
    """Append rows in a transaction that has done all else: they are there if, and only if, the rest of it is.

    Its lock is the last that any transaction takes, so that no two wait for each other.
    """
    session.flush()
    hold(session, LOCK)
    before = session.scalar(select(AuditRow.hash).order_by(AuditRow.id.desc()).limit(1)) or GENESIS
    for number, entry in enumerate(entries, _last_number(session) + 1):
        row = AuditRow(id=number, at=time.time(), person=entry.person, action=entry.action, film_id=entry.film_id,
                       detail=entry.detail[:DETAIL_LENGTH])  # fmt: skip
        before = row.hash = row.bound_to(before)
        session.add(row)


def to_csv(rows: Iterable[AuditRow]) -> Iterator[str]:
    """Lines of a table: the columns as they were hashed, and the time as people read it."""
    yield _csv_line([*COLUMNS, "time"])
    for row in rows:
        yield _csv_line([*(getattr(row, column) for column in COLUMNS), _in_words(row.at)])


def _in_words(at: Any) -> str:
    """A moment as people read it; empty for what somebody wrote there who altered the log."""
    with suppress(TypeError, ValueError, OverflowError, OSError):
        return datetime.fromtimestamp(at, UTC).isoformat(timespec="seconds")
    return ""


def _csv_line(cells: Iterable[Any]) -> str:
    line = io.StringIO()
    csv.writer(line).writerow(cells)
    return line.getvalue()


def _is_told(session: Session, entry: Entry, quiet_s: float) -> bool:
    same = Wanted(entry.person, entry.action, entry.film_id, since=time.time() - quiet_s).conditions()
    return session.scalar(select(AuditRow.id).where(*same, AuditRow.detail == entry.detail).limit(1)) is not None


def _last_number(session: Session) -> int:
    """The largest number that a row ever had, so that rows cut off at the end leave a gap."""
    return session.scalar(LAST_NUMBER[session.get_bind().dialect.name]) or 0
