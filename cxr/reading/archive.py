"""An archive of films -> rows of answers, in the order of the source, with the engine never waiting for a film.

Each film runs down one of several lanes, threads of this process: decoded by a process beside the engine, read by the
engine, told as a row. There are more lanes than decoders and engine take, so that a film is always ready for the
engine; and a lane takes its next film when the last one is done, so that memory does not grow with the archive.
"""

from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import astuple, dataclass
from hashlib import sha256
from pathlib import Path
from typing import TypeVar

import numpy as np

from cxr.errors import BadRequest, EngineFault
from cxr.films.film import Limits
from cxr.reading.archive_decoders import Decoders, Decoding, decoders
from cxr.reading.archive_sources import Source
from cxr.reading.archive_tables import Row, Run
from cxr.reading.engine import WEIGHTS
from cxr.reading.outcomes import Outcome, columns_of, draw_overlays, film_name, row_of
from cxr.reading.preparation import Prepared
from cxr.reading.reader import Reader
from cxr.reading.readers import Readers
from cxr.settings import Settings

AHEAD = 1000  # rows that may wait for a slow film before them
Numbered = tuple[int, str]  # a film's place in the source, from 1, and its name
A = TypeVar("A")
B = TypeVar("B")


@dataclass(frozen=True)
class Plan:
    """What is read, and how: all that this process, or one on another machine, needs to know."""

    source: Source
    settings: Settings
    task: str = ""  # of the first model where it is empty
    model: Path | None = None  # read with alone
    anyway: bool = False
    maps: Path | None = None  # folders
    overlays: Path | None = None

    def load(self) -> Reader:
        """Raises what Readers.find and Readers.of raise."""
        given, shipped = ([self.model], None) if self.model else ([], WEIGHTS)
        return Readers.find(self.settings, given, shipped=shipped, throughput=True).of(self.task)

    def run_of(self, reader: Reader) -> Run:
        """What other rows must have in common with those of `reader` to stand in one table."""
        return Run(
            source=str(self.source),
            task=reader.info.task,
            model=reader.identity.sha256,
            calibration=sha256(reader.info.to_json().encode()).hexdigest(),
            operating_points=reader.identity.operating_points,
            engine=reader.versions["engine"],
            columns=tuple(columns_of(reader)),
            anyway=self.anyway,
            maps=str(self.maps or ""),
            overlays=str(self.overlays or ""),
        )

    @contextmanager
    def reading(self, reader: Reader, workers: int) -> Iterator["FilmReading"]:
        """`reader` with as many decoders as `workers` beside it, which end with the block."""
        limits = Limits.of(self.settings)
        decoding = Decoding(self.source, reader.preparation, limits, keep_films=bool(self.overlays))
        with decoders(decoding, workers) as beside:
            yield FilmReading(self, reader, beside)


@dataclass(frozen=True)
class FilmReading:
    """One film -> its row: what every lane does, here and on other machines."""

    plan: Plan
    reader: Reader
    decoders: Decoders

    def __call__(self, numbered: Numbered) -> Row:
        number, name = numbered
        decoded = self.decoders.decode(name)
        outcome = Outcome(film_name(name), error=decoded.error)
        if decoded.prepared:
            outcome = self._outcome(outcome.name, decoded.prepared)
        thousand = f"{number // 1000:05d}"  # no folder should hold a million files
        if self.plan.maps:
            write_maps(outcome, self.plan.maps / thousand, f"{number:08d}")
        if self.plan.overlays and decoded.film:
            draw_overlays(outcome, decoded.film, self.plan.overlays / thousand, f"{number:08d}")
        return row_of(outcome, self.reader)

    def _outcome(self, name: str, prepared: Prepared) -> Outcome:
        try:
            return Outcome.of(name, self.reader.finish(prepared, anyway=self.plan.anyway))
        except EngineFault as fault:
            return Outcome(name, error=str(fault))

    def rows(self, films: Iterable[Numbered]) -> Generator[Row, None, None]:
        """Of all `films`, in their order. To be closed by who does not take them all."""
        lanes = self.decoders.count + 2 * self.reader.at_once
        return _in_order(lanes, self, films)


def _in_order(lanes: int, function: Callable[[A], B], items: Iterable[A]) -> Generator[B, None, None]:
    """What `function` makes of each item, in the items' order, made by so many threads."""
    waiting: deque[Future[B]] = deque()
    pool = ThreadPoolExecutor(lanes)
    try:
        for item in items:
            waiting.append(pool.submit(function, item))
            while waiting and (waiting[0].done() or len(waiting) > AHEAD):
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


def write_maps(outcome: Outcome, folder: Path, number: str) -> None:
    """`maps` (K, h, w) uint8 with their `labels` and the film's `box`, of a film that was read.

    Raises BadRequest when it cannot.
    """
    if not outcome.report or not outcome.is_read:
        return
    labels = [finding.label for finding in outcome.report.findings]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = folder / f"{number}_{Path(outcome.name).stem}.npz"
        np.savez_compressed(file, maps=outcome.report.maps, labels=labels, box=astuple(outcome.report.box))
    except OSError as error:
        raise BadRequest(f"{folder} cannot be written ({error.strerror}); choose another --maps.") from error
