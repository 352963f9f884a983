"""What became of the films of a load, by what the database tells while the desks run and afterwards."""

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from sqlalchemy import select

from cxr.desk.instance import open_store
from cxr.desk.store import Store
from cxr.desk.tables import UNREAD, FilmRow, reading
from cxr.settings import Settings
from tests.desk.hosts import Host, Upload

LATE_S = 5  # beyond the lease, by which a film whose reader died is to be read
LOOK_EVERY_S = 0.5
FAULTS = ("unacknowledged", "lost", "stored_twice", "read_twice", "late", "mixed_up", "server_errors")


@dataclass(frozen=True)
class Lease:
    """For which time a reader had a film, in seconds since 1970."""

    began: float
    until: float


@dataclass(frozen=True)
class Outcome:
    """What a load came to."""

    unacknowledged: int
    lost: int  # acknowledged, and not read in the end
    stored_twice: int  # more films than uploads
    read_twice: int  # times that a film was begun again, though nobody had died who had it
    late: int  # times that this took longer than the lease and LATE_S
    mixed_up: int  # with the answer of another film
    server_errors: int  # 5xx, but for the 503 of a busy desk
    put_off: int  # 503
    broken_off: int  # uploads whose connection was lost
    begun_again: int  # films
    longest_wait_s: float  # see `waits`

    def faults(self) -> dict[str, int]:
        """Those of FAULTS that there are."""
        return {name: getattr(self, name) for name in FAULTS if getattr(self, name)}


class Ledger:
    """Who had which film until when.

    A reader that dies leaves its lease behind until that has run out, so a look now and then misses none of them.
    """

    def __init__(self, store: Store, lease_s: float) -> None:
        self.store, self.lease_s = store, lease_s
        self._held: dict[str, dict[str, float]] = {}  # film id -> claim -> end of its lease

    def look(self) -> int:
        """How many films are not read yet."""
        unread = select(FilmRow.id, FilmRow.claim, FilmRow.lease_until).where(FilmRow.state.in_(UNREAD))
        with reading(self.store.engine) as session:
            found = session.execute(unread).all()
        for film_id, claim, until in found:
            self._held.setdefault(film_id, {})[claim] = until
        return len(found)

    def leases(self, film: FilmRow) -> list[Lease]:
        """Of all who had the film, one after the other. The last one read it, and its lease stands in the row."""
        last = Lease(film.lease_until - self.lease_s, film.lease_until)
        ends = sorted(until for until in self._held.get(film.id, {}).values() if until <= last.began)
        return [*(Lease(until - self.lease_s, until) for until in ends), last]

    def settled(self, limit_s: float) -> dict[str, FilmRow]:
        """All films, by id, as soon as none waits."""
        deadline = time.monotonic() + limit_s
        while self.look() and time.monotonic() < deadline:
            time.sleep(0.2)
        with reading(self.store.engine) as session:
            ids = list(session.scalars(select(FilmRow.id)))
        return {film_id: self.store.film(film_id) for film_id in ids}


@contextmanager
def keep_ledger(settings: Settings) -> Iterator[Ledger]:
    """Of the desks whose settings these are, from now on."""
    ledger, closed = Ledger(open_store(settings), settings.lease_s), threading.Event()

    def keep() -> None:
        while not closed.wait(LOOK_EVERY_S):
            ledger.look()

    thread = threading.Thread(target=keep, name="ledger")
    thread.start()
    try:
        yield ledger
    finally:
        closed.set()
        thread.join()
        ledger.store.close()


def judge(uploads: Sequence[Upload], hosts: Sequence[Host], ledger: Ledger, limit_s: float = 120) -> Outcome:
    """Once all that is there was read."""
    rows = ledger.settled(limit_s)
    answers = {row.id: row.report.restore().to_dict() for row in rows.values() if row.report}
    acknowledged = [upload for upload in uploads if upload.film_id]
    is_read = {u.number: u.film_id in answers and rows[u.film_id].state == "read" for u in acknowledged}
    kills = sorted(moment for host in hosts for moment in host.killed_at)
    waited = [
        waits(ledger.leases(row), row.read_at, upload.broken_at, kills)
        for upload in acknowledged
        if (row := rows.get(upload.film_id))
    ]
    known = [wait for each in waited for wait in each if wait is not None]
    statuses = [status for upload in uploads for status in upload.statuses]
    return Outcome(
        unacknowledged=len(uploads) - len(acknowledged),
        lost=list(is_read.values()).count(False),
        stored_twice=len(rows) - len({upload.film_id for upload in acknowledged}),
        read_twice=sum(each.count(None) for each in waited),
        late=sum(wait > ledger.lease_s + LATE_S for wait in known),
        mixed_up=sum(u.mixed_up or (is_read[u.number] and not u.film.says(answers[u.film_id])) for u in acknowledged),
        server_errors=sum(status >= 500 and status != 503 for status in statuses),
        put_off=statuses.count(503),
        broken_off=sum(bool(upload.broken_at) for upload in uploads),
        begun_again=sum(bool(each) for each in waited),
        longest_wait_s=max(known, default=0.0),
    )


def waits(
    leases: Sequence[Lease], read_at: float | None, broken_at: Sequence[float], kills: Sequence[float]
) -> list[float | None]:
    """How long a film waited each time that its reader died, until another had begun it, and at last had read it.

    None: nobody had died. That the first reader did is known by the connection of the upload, lost at `broken_at`. Who
    had the film later cannot be seen: the first of `kills` in that time counts, so that no wait is told too short.
    """
    ends = [*(lease.began for lease in leases[1:-1]), float("inf") if read_at is None else read_at]
    deaths = [_first_within(lease, kills if number else broken_at) for number, lease in enumerate(leases[:-1])]
    return [None if died is None else end - died for died, end in zip(deaths, ends, strict=False)]


def _first_within(lease: Lease, moments: Sequence[float]) -> float | None:
    return next((moment for moment in moments if lease.began <= moment <= lease.until), None)
