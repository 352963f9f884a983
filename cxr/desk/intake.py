"""The queue behind the desk: take a film in, have it read now, pick up again what a crash left."""

import logging
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager, suppress
from math import inf
from typing import TypeVar

from sqlalchemy.exc import SQLAlchemyError

from cxr.desk.audit import Entry
from cxr.desk.faults import FaultLog, is_outside
from cxr.desk.heatmap_files import HeatmapFolder
from cxr.desk.heatmap_rows import discarded_heatmaps, forget_heatmaps, heatmaps_written, without_heatmaps
from cxr.desk.keys import SentBefore
from cxr.desk.pictures import thumbnail_jpeg
from cxr.desk.retention import expire
from cxr.desk.site_settings import SiteSettings
from cxr.desk.storage import SHELF_S, BytesMissing
from cxr.desk.store import Claim, NewFilm, Store
from cxr.desk.tables import FilmRow, with_room
from cxr.desk.worklist_patients import Pseudonyms
from cxr.errors import CxrError
from cxr.films.film import Film, Limits
from cxr.films.read import read_film
from cxr.reading.reader import Reader
from cxr.reading.readers import Readers
from cxr.reading.report import Report
from cxr.settings import Settings

T = TypeVar("T")
ROUND_S = 1.0  # how often the housekeeper looks for films whose lease ran out
SWEEP_EVERY_S = SHELF_S - 30  # so that the sweeps of a bucket pass over none of its shelves
NAME_LENGTH = 200
READING = "reading films, which wait until their leases have run out,"

log = logging.getLogger(__name__)


class TooBusy(CxrError):
    """More uploads wait to be read than are let wait."""

    status, retry_after_s = 503, 5

    def __init__(self, most: int) -> None:
        super().__init__(
            f"The desk is busy: {most} uploads wait already. Nothing was stored; send it again in a moment."
        )


class Intake:
    """Takes films in and has them read; one for each process."""

    def __init__(self, store: Store, site: SiteSettings, settings: Settings, heatmaps: HeatmapFolder) -> None:
        self.store, self.site, self.heatmaps = store, site, heatmaps
        self.pseudonyms = Pseudonyms(store.engine)
        self._writes_heatmaps = settings.heatmap_files
        self.limits = Limits.of(settings)
        self._lease_s = settings.lease_s
        self._faults, self._unscrubbed = FaultLog(log), False
        # A decoded film takes up to 4 bytes a pixel, so this bounds memory as well as work; the housekeeper adds one.
        reads_at_once = max(1, settings.reads_at_once)
        self._slots = threading.BoundedSemaphore(reads_at_once)
        self._models = ThreadPoolExecutor(reads_at_once, "model")
        self._most_waiting = settings.max_waiting
        self._line = threading.BoundedSemaphore(reads_at_once + self._most_waiting)
        self._wake, self._closed = threading.Event(), threading.Event()
        self._housekeeper = threading.Thread(target=self._keep_house, name="housekeeper", daemon=True)

    @property
    def readers(self) -> Readers:
        """As the site's settings want them now."""
        return self.site.now.readers

    def start(self) -> None:
        self._housekeeper.start()

    def close(self) -> None:
        self._closed.set()
        self._wake.set()
        if self._housekeeper.is_alive():
            self._housekeeper.join()
        self.store.close()

    @contextmanager
    def in_line(self) -> Iterator[None]:
        """The turn of one upload, so that those that wait leave threads for people who look. Raises TooBusy."""
        if not self._line.acquire(blocking=False):
            raise TooBusy(self._most_waiting)
        try:
            yield
        finally:
            self._line.release()

    def take_in(
        self,
        content: bytes,
        name: str,
        upload: str,
        task: str = "",
        *,
        anyway: bool = False,
        key: str = "",
        by: str = "",
    ) -> str:
        """Store the film and have it read for `task`, or for the default one; its id.

        `anyway`: also if the film check refuses it. `key`: what it is known by when it is sent again; then nothing is
        stored, and the id is that of the first time. `by`: whom the audit log names.

        Raises of the CxrError family before anything is stored.
        """
        reader = self.readers.of(task)
        with self._slots:
            film = self._film(content)
            # The model looks at the film while disk or bucket take its bytes; whoever sent it is answered after both.
            sent_again = key and self.store.knows(key)
            looking = None if sent_again else self._models.submit(reader.read, film, anyway=anyway)
            try:
                new = NewFilm(
                    name=clean_name(name),
                    format=film.metadata.format,
                    task=reader.info.task,
                    upload=upload,
                    thumbnail=thumbnail_jpeg(film),
                    gradcam=self._writes_heatmaps,
                    anyway=anyway,
                    key=key,
                    patient=self.pseudonyms.patient(film.identity.patient_id),
                    study=self.pseudonyms.study(film.identity),
                    by=by,
                    begun=looking is not None,
                )
                claim = self.store.add(content, new, self._lease_s)
                self._read(claim, reader, looking)
            except SentBefore as before:
                return before.film_id
            finally:
                wait([looking] if looking else [])  # it holds the film, whose memory the slot is for
        return claim.film_id

    def read_anyway(self, film_id: str, person: str) -> None:
        """Have a refused film read after all; its report and the log say so.

        Raises NotFound, or Conflict if it is not refused.
        """
        reader = self.readers.of(self.store.film(film_id).task)
        with self._slots:
            claim = self.store.reopen(Entry(person, "read anyway", film_id), self._lease_s)
            log.info("film %s was refused and is read anyway", film_id)
            self._read(claim, reader)

    def delete(self, film_id: str, person: str) -> None:
        """Forget a film and all that was made of it; the log tells who did it. Raises NotFound."""
        row = self.store.delete(Entry(person, "delete", film_id))
        self.heatmaps.delete(row.gradcam)  # written by this desk or by another of its instance
        self._unscrubbed = True
        self._wake.set()

    def draw(self, row: FilmRow, picture: Callable[[Film], T]) -> T:
        """A picture of the film, which is decoded again from its stored bytes; both within one slot.

        Raises NotFound when the film was deleted meanwhile.
        """
        with self._slots:
            return picture(self._film(self._content(row)))

    def pick_up(self) -> int:
        """Read the films whose lease ran out, here or in a process that died; how many.

        Films of a task that is not served here wait for a desk that serves it, and those whose model cannot be loaded
        until the lease that is taken here runs out. They need no slot, for which uploads would keep them waiting: they
        are read one by one.
        """
        count, served = 0, tuple(self.readers.tasks)
        while not self._closed.is_set():
            claim = self.store.claim_stale(self._lease_s, served)
            if claim is None:
                break
            count += self._read_again(claim)
            if self._faults.lasts(READING):
                break  # what keeps one film waiting keeps all, and the other chores have their turn
        return count

    def write_heatmaps(self) -> None:
        """Write the heat-map files that are still owed; a film deleted meanwhile leaves none."""
        if not self._writes_heatmaps:
            return
        for film in without_heatmaps(self.store.engine):
            self.heatmaps.write(film)
            if not heatmaps_written(self.store.engine, film.id):
                self.heatmaps.delete(film.gradcam)

    def scrub(self) -> None:
        """See that no byte of the deleted films is left in the database's files; the next round tries again."""
        if self._unscrubbed:
            self._unscrubbed = not self.store.scrub()

    def sweep(self) -> None:
        """Delete films that are too old, and what crashes left of broken uploads and of deleted films."""
        expire(self.store, self.heatmaps, self.site.keep_days)
        self._unscrubbed = True  # another process may have deleted films
        self.store.sweep()
        discarded = discarded_heatmaps(self.store.engine)
        for token in discarded:
            self.heatmaps.delete(token)
        forget_heatmaps(self.store.engine, [token for token in discarded if not self.heatmaps.holds(token)])

    def _content(self, row: FilmRow) -> bytes:
        """Raises NotFound for a film that was deleted after its row was looked up."""
        try:
            return self.store.content(row)
        except BytesMissing:
            self.store.film(row.id)
            raise

    def _film(self, content: bytes) -> Film:
        """Views from the side and other body parts too: the film check judges them."""
        return read_film(content, self.limits, frontal_only=False)

    def _read_again(self, claim: Claim) -> bool:
        """False when its model cannot be loaded: whatever is wrong with one must not keep the films of the others."""
        try:
            reader = self.readers.of(claim.task)
        except Exception:
            log.exception("film %s waits: its model cannot be loaded", claim.film_id)
            return False
        self._read(claim, reader)
        return True

    def _read(self, claim: Claim, reader: Reader, looking: Future[Report] | None = None) -> None:
        """Read one claimed film and store the report, or the sentence that says why there is none.

        `looking`: what becomes of it in another thread; without it the film is decoded from its stored bytes.

        A fault of storage, database or machine says nothing of the film, which is left to its lease and read again.
        """
        try:
            self._conclude(claim, reader, looking)
            self._faults.went_well(READING)
        except Exception as error:
            if not is_outside(error):
                raise
            self._faults.tell(READING, error)
            if not isinstance(error, MemoryError):  # the film's own size may be the cause, so that counts as an attempt
                with suppress(SQLAlchemyError):
                    self.store.put_off(claim)
        if self._writes_heatmaps:
            self._wake.set()

    def _conclude(self, claim: Claim, reader: Reader, looking: Future[Report] | None) -> None:
        """Raises what `is_outside`."""
        try:
            if looking:
                report = looking.result()
            else:
                content = self.store.content(claim)  # before the lease that reading has: it may take long
                if not self._write(lambda: self.store.begin(claim, self._lease_s)):
                    return
                report = reader.read(self._film(content), anyway=claim.anyway)
            self._write(lambda: self.store.finish(claim, report))
        except Exception as error:
            if is_outside(error):
                raise
            sentence = str(error)
            if not isinstance(error, CxrError):
                log.exception("reading film %s failed", claim.film_id)
                sentence = "The film could not be read because of a fault in the desk; its log says more."
            self._write(lambda: self.store.fail(claim, sentence))

    def _write(self, change: Callable[[], T]) -> T:
        """What becomes of a film that was taken in is kept on a full disk, too."""
        return with_room(self.store.engine, change)

    def _keep_house(self) -> None:
        swept_at = -inf
        while not self._closed.is_set():
            is_due = time.monotonic() - swept_at >= SWEEP_EVERY_S
            swept_at = time.monotonic() if is_due else swept_at
            for chore in (self.pick_up, self.write_heatmaps, *([self.sweep] if is_due else []), self.scrub):
                self._do(chore)
            self._wake.wait(ROUND_S)
            self._wake.clear()

    def _do(self, chore: Callable[[], object]) -> None:
        """A fault of one chore, as of the storage or the database, ends neither the others nor the housekeeping."""
        try:
            chore()
        except Exception as error:
            self._faults.tell(f"housekeeping ({chore.__name__})", error)
        else:
            self._faults.went_well(f"housekeeping ({chore.__name__})")


def clean_name(name: str) -> str:
    """A file name as a label for people: without folders and control characters, at most 200 characters."""
    last = name.replace("\\", "/").rsplit("/", 1)[-1]
    printable = "".join(c for c in last if c.isprintable()).strip()
    return printable[:NAME_LENGTH] or "unnamed"
