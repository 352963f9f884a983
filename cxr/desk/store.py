"""What the desk keeps: films and reports in a database, film bytes in a storage under their content hash."""

import hashlib
import logging
import secrets
import sqlite3
import time
from collections.abc import Callable, Collection, Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import URL, ColumnElement, Engine, delete, func, literal, select, text, true, update
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session, joinedload

from cxr.desk.answers import Answers
from cxr.desk.audit import Entry, tell
from cxr.desk.binding import NotBound, bind, validate_bound
from cxr.desk.faults import StorageAway, in_brief, is_outside, told_when_full, waited_in_vain
from cxr.desk.keys import add_film, is_known
from cxr.desk.refusals import forget_refusals
from cxr.desk.scores import keep_scores
from cxr.desk.storage import BytesMissing, open_storage
from cxr.desk.tables import (
    DESK,
    UNREAD,
    UNSYNCED,
    DiscardedHeatmaps,
    FilmRow,
    ReportRow,
    State,
    clock,
    keep_room,
    open_database,
    reading,
    scrub,
    with_room,
    writing,
)
from cxr.desk.worklist import Worklist
from cxr.desk.worklist_rows import enlist, note_outcome, note_report
from cxr.desk.worklist_searches import forget_searches
from cxr.errors import Conflict, NotFound
from cxr.reading.report import Report

T = TypeVar("T")
MOST_ATTEMPTS = 6  # a film that took six readers down with it is not given to a seventh; fewer would fail bystanders
HOUR_S = 3600  # bytes of a broken upload are deleted after this long
TO_BE_READ = "to be read anyway"  # what the log says of such an upload
SWEPT_AT_ONCE = 500  # hashes in one query

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class NewFilm:
    """What is known of a film when it is taken in."""

    name: str
    format: str
    task: str
    upload: str
    thumbnail: bytes
    gradcam: bool  # whether heat-map files are wanted
    anyway: bool = False  # read it also if the film check refuses it
    key: str = ""  # by which a repeated upload is known
    patient: str = ""  # pseudonyms, of worklist_patients; empty where the file names nobody
    study: str = ""
    by: str = ""  # whom the audit log names; empty: it tells nothing
    begun: bool = False  # whoever takes it in reads it at once: what `Store.begin` would note is noted


@dataclass(frozen=True)
class Claim:
    """The right to read one film until `lease_until`."""

    film_id: str
    sha256: str
    task: str
    token: str
    anyway: bool


class Store:
    """Database and film bytes of one desk. Safe to share among threads and processes."""

    def __init__(self, url: str | URL, folder: Path, storage_url: str = "", *, adopt: bool = False) -> None:
        """Raises SettingError when the database cannot be opened, films cannot be stored, or the two are strangers.

        `adopt`: the storage becomes the database's own whatever it was before.
        """
        self.storage = open_storage(storage_url, folder)
        self._engine = open_database(url)
        try:
            bind(self._engine, self.storage, adopt=adopt)
        except Exception:
            self.close()
            raise
        self.answers = Answers(self._read, self._write)
        self.worklist = Worklist(self._engine)

    @property
    def engine(self) -> Engine:
        """The database, for what is kept beside the films: people, audit log."""
        return self._engine

    def close(self) -> None:
        self._engine.dispose()

    def is_ready(self) -> bool:
        """Whether the database answers."""
        try:
            with self._engine.connect() as connection:
                connection.execute(text("SELECT 1 FROM films LIMIT 1")).all()
                return True
        except (SQLAlchemyError, sqlite3.Error):
            return False

    # --- taking in and giving back ---

    def add(self, content: bytes, new: NewFilm, lease_s: float) -> Claim:
        """Store bytes and row, or neither. The caller holds the claim, the lease begins now.

        Raises:
            DiskFull, StorageAway: nothing was stored.
            SentBefore, KeyReused: a film with this key is here already; it is this one, or another.
        """
        sha256 = hashlib.sha256(content).hexdigest()
        row = FilmRow(
            id=secrets.token_hex(10), sha256=sha256, name=new.name, format=new.format, task=new.task, upload=new.upload,
            thumbnail=new.thumbnail, gradcam=secrets.token_urlsafe(24) if new.gradcam else "",
            claim=secrets.token_hex(8), anyway=new.anyway, created_at=time.time(),
            state=State.READING if new.begun else State.WAITING, attempts=int(new.begun),
        )  # fmt: skip
        claim = Claim(row.id, sha256, row.task, row.claim, new.anyway)
        with told_when_full():
            keep_room(self._engine)
            if not self.storage.is_there():
                raise StorageAway
            with self.storage.staged(sha256, content) as keep:
                row.lease_until = self._in(lease_s)  # now that the bytes are here: a bucket may take long
                self._put(row, new, keep)
        return claim

    def knows(self, key: str) -> bool:
        """Whether a film came with this key before."""
        with self._read() as session:
            return is_known(session, key)

    def content(self, film: FilmRow | Claim) -> bytes:
        """Raises BytesMissing, or StorageAway when the whole storage is gone, as one that is not mounted."""
        try:
            return self.storage.read(film.sha256)
        except OSError as error:
            try:
                validate_bound(self._engine, self.storage)
            except NotBound as away:
                raise StorageAway from away
            raise BytesMissing from error

    def delete(self, told: Entry, *, spare_reading: bool = False) -> FilmRow:
        """Forget a film, its report and, unless another film has the same bytes, its bytes. Returns what it was.

        `told`: which film, and what the audit log says of it, in the same transaction: no film goes untold.
        Raises NotFound, or, with `spare_reading`, Conflict for a film that is being read.
        """
        row = with_room(self._engine, lambda: self._forget(told, spare_reading))
        try:
            self._drop_unnamed(row.sha256)
        except Exception as error:
            if not is_outside(error):
                raise
            log.warning("the bytes of film %s, which is deleted, wait for a sweep: %s", row.id, in_brief(error))
        return row

    def sweep(self) -> None:
        """Delete what a crash between storing and committing left, and refusals that are an hour old.

        Raises NotBound, having deleted nothing, when the storage is another than the one that was opened.
        """
        validate_bound(self._engine, self.storage)
        hour_ago = time.time() - HOUR_S
        self.storage.tidy(hour_ago)
        names = self.storage.names()
        for start in range(0, len(names), SWEPT_AT_ONCE):
            for sha256 in self._unnamed(names[start : start + SWEPT_AT_ONCE]):
                if self.storage.is_older(sha256, hour_ago):
                    self._drop_unnamed(sha256)
        with self._write(()) as session:
            forget_refusals(session)
            forget_searches(session)

    def scrub(self) -> bool:
        """See that nothing of what was deleted stands in SQLite's log of writes. False while somebody reads in it.

        In the database itself deleted content was overwritten (secure_delete).
        """
        return scrub(self._engine)

    # --- reading: waiting -> reading -> read | refused | failed ---

    def begin(self, claim: Claim, lease_s: float) -> bool:
        """waiting -> reading. False when another process took the film or it was deleted."""
        change = {"state": State.READING, "lease_until": self._in(lease_s), "attempts": FilmRow.attempts + 1}
        return self._change(change, *_holds(claim))

    def claim_stale(self, lease_s: float, tasks: Collection[str] | None = None) -> Claim | None:
        """Take over one film whose lease ran out, the oldest first: one statement, so no two processes get it.

        Of these `tasks` alone where they are given. On PostgreSQL a film that another takes meanwhile is passed over.
        """
        token = secrets.token_hex(8)
        unread = FilmRow.state.in_(UNREAD) & (FilmRow.lease_until < self._in(0))
        unread &= true() if tasks is None else FilmRow.task.in_(tasks)
        oldest = select(FilmRow.id).where(unread).order_by(FilmRow.created_at).limit(1)
        free = oldest.with_for_update(skip_locked=True).scalar_subquery()
        taken = (
            update(FilmRow)
            .where(FilmRow.id == free, unread)
            .values(state=State.WAITING, claim=token, lease_until=self._in(lease_s))
            .returning(FilmRow.id, FilmRow.sha256, FilmRow.task, FilmRow.attempts, FilmRow.anyway)
        )
        with self._write(()) as session:
            row = session.execute(taken).one_or_none()
        if row is None:
            return None
        claim = Claim(row.id, row.sha256, row.task, token, row.anyway)
        if row.attempts >= MOST_ATTEMPTS:
            self.fail(claim, f"Reading this film was broken off {MOST_ATTEMPTS} times; delete it and upload it anew.")
            return self.claim_stale(lease_s, tasks)
        return claim

    def reopen(self, told: Entry, lease_s: float) -> Claim:
        """refused -> waiting, to be read anyway, its report forgotten; the caller holds the claim.

        `told`: which film, and what the audit log says of it, in the same transaction.
        Raises NotFound, or Conflict.
        """
        token, film_id = secrets.token_hex(8), told.film_id
        refused = (FilmRow.id == film_id) & (FilmRow.state == State.REFUSED)
        anew = {
            "state": State.WAITING,
            "claim": token,
            "lease_until": self._in(lease_s),
            "attempts": 0,
            "anyway": True,
        }
        with self._write(()) as session:
            if not session.execute(update(FilmRow).where(refused).values(anew).returning(FilmRow.id)).first():
                row = _found(session.get(FilmRow, film_id))
                raise Conflict(f"The film is {row.state}, not refused; look at its page.")
            session.execute(delete(ReportRow).where(ReportRow.film_id == film_id))
            note_outcome(session, film_id, State.WAITING)
            row = _found(session.get(FilmRow, film_id))
            tell(session, told)
            return Claim(row.id, row.sha256, row.task, token, row.anyway)

    def finish(self, claim: Claim, report: Report) -> bool:
        """Store the report. False when the film was deleted or taken over meanwhile: then nothing is stored."""
        check, top = report.check, report.top() if report.findings else None
        state = State.READ if top else State.REFUSED
        with self._write(()) as session:
            # A refused film that was read anyway keeps the sentence, by which lists know it.
            change = {"state": state, "error": check.sentence, "claim": "", "read_at": time.time()}
            held = update(FilmRow).where(*_holds(claim)).values(change).returning(FilmRow.created_at)
            taken_at = session.scalar(held, execution_options=UNSYNCED)
            if taken_at is not None:
                session.add(ReportRow(
                    film_id=claim.film_id, json=report.to_json(), maps=report.maps_png(),
                    model_sha256=report.model.sha256, top_label=top.label if top else "",
                    top_probability=top.probability if top else 0.0, above=len(report.alarms()) if top else 0,
                ))  # fmt: skip
                keep_scores(session, claim.film_id, taken_at, report)
                note_report(session, claim.film_id, report)
        return taken_at is not None

    def fail(self, claim: Claim, sentence: str) -> None:
        change = {"state": State.FAILED, "error": sentence, "claim": "", "read_at": time.time()}
        with self._write(()) as session:
            if session.execute(update(FilmRow).where(*_holds(claim)).values(change).returning(FilmRow.id)).first():
                note_outcome(session, claim.film_id, State.FAILED)

    def put_off(self, claim: Claim) -> None:
        """A fault that is not the film's broke its reading off: it is read when the lease has run out, as if anew."""
        self._change({"attempts": FilmRow.attempts - 1}, *_holds(claim), FilmRow.state == State.READING)

    # --- looking ---

    def film(self, film_id: str) -> FilmRow:
        """The film with its report. Raises NotFound."""
        wanted = select(FilmRow).where(FilmRow.id == film_id)
        with self._read() as session:
            return _found(session.scalar(wanted.options(joinedload(FilmRow.report).undefer("*"))))

    def is_left(self, film: FilmRow) -> bool:
        """Whether nobody reads an unread film now: its lease has run out, by the clock that all desks share."""
        with self._read() as session:
            return film.state in UNREAD and self._has_run_out(session, film)

    def older_than(self, moment: float) -> list[str]:
        """Ids of the films that were taken in before, oldest first."""
        with self._read() as session:
            old = select(FilmRow.id).where(FilmRow.created_at < moment)
            return list(session.scalars(old.order_by(FilmRow.created_at, FilmRow.id)))

    def names(self, sha256: str) -> bool:
        """Whether a film has these bytes."""
        with self._read() as session:
            return session.scalar(select(FilmRow.id).where(FilmRow.sha256 == sha256).limit(1)) is not None

    def thumbnail(self, film_id: str) -> bytes:
        with self._read() as session:
            return _found(session.scalar(select(FilmRow.thumbnail).where(FilmRow.id == film_id)))

    # --- within ---

    def _read(self) -> Session:
        return reading(self._engine)

    def _write(self, locks: Iterable[str] = (DESK,)) -> AbstractContextManager[Session]:
        return writing(self._engine, locks)

    def _in(self, seconds: float) -> ColumnElement[float]:
        """A moment from now, by the clock that all desks of the database share."""
        return clock(self._engine) + seconds

    def _change(self, values: dict[str, Any], *which: ColumnElement[bool]) -> bool:
        with self._write(()) as session:
            changed = session.execute(update(FilmRow).where(*which).values(values).returning(FilmRow.id))
            return changed.first() is not None

    def _put(self, row: FilmRow, new: NewFilm, keep: Callable[[], None]) -> None:
        """Row, key, place in the worklist and bytes come in under one lock."""
        try:
            with self._write((f"key {new.key}", row.sha256) if new.key else (row.sha256,)) as session:
                add_film(session, row, new.key)
                enlist(session, row, new.patient, new.study)
                session.flush()
                keep()
                if new.by:
                    tell(session, Entry(new.by, "upload", row.id, TO_BE_READ if new.anyway else ""))
        except Exception as error:
            if not waited_in_vain(error):  # a sweep does it then: whoever waited need not wait again
                self._drop_unnamed(row.sha256)
            raise

    def _forget(self, told: Entry, spare_reading: bool) -> FilmRow:
        with self._write(()) as session:
            row = _found(session.get(FilmRow, told.film_id, with_for_update=True))
            if spare_reading and row.state in UNREAD and not self._has_run_out(session, row):
                raise Conflict("The film is being read; delete it afterwards.")
            session.delete(row)
            if row.gradcam:
                session.add(DiscardedHeatmaps(gradcam=row.gradcam, discarded_at=time.time()))
            tell(session, told)
        return row

    def _has_run_out(self, session: Session, row: FilmRow) -> bool:
        return bool(session.scalar(select(literal(row.lease_until) <= self._in(0))))

    def _unnamed(self, hashes: list[str]) -> list[str]:
        """Those that no film has."""
        with self._read() as session:
            named = set(session.scalars(select(FilmRow.sha256).where(FilmRow.sha256.in_(hashes))))
        return [sha256 for sha256 in hashes if sha256 not in named]

    def _drop_unnamed(self, sha256: str) -> None:
        """Delete bytes that no film names any more.

        Always after the commit that made it so: a commit that fails must not cost a film its bytes. Under a lock of
        its own, so that nobody adds the same bytes meanwhile. What a crash in between leaves, `sweep` deletes.
        """
        with self._write((sha256,)) as session:
            if not session.scalar(select(func.count()).where(FilmRow.sha256 == sha256)):
                self.storage.delete(sha256)


def _holds(claim: Claim) -> tuple[ColumnElement[bool], ...]:
    return FilmRow.id == claim.film_id, FilmRow.claim == claim.token


def _found(thing: T | None) -> T:
    if thing is None:
        raise NotFound("There is no such film; it may have been deleted. See the list of films.")
    return thing
