"""Read an archive of films into a table: a row for each film, going on where it was stopped."""

import argparse
import os
import sys
import threading
from collections.abc import Generator, Iterator
from contextlib import closing, suppress
from itertools import islice
from pathlib import Path
from typing import NoReturn

from tqdm import tqdm

from cxr.errors import BadRequest, CxrError
from cxr.reading.archive import Numbered, Plan
from cxr.reading.archive_ray import rows_on_ray
from cxr.reading.archive_sources import Source, open_source
from cxr.reading.archive_tables import TABLES, Row, Table, open_table, resume
from cxr.reading.reader import Reader
from cxr.settings import Settings
from cxr.tasks import TASKS


def add_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "source", metavar="SOURCE", help="folder, ZIP, text with a film on each line, csv with a column film, or URL"
    )
    parser.add_argument(
        "--out", type=Path, required=True, help=f"table to write, a file that ends in {' or '.join(TABLES)}"
    )
    parser.add_argument("--task", choices=TASKS, help="what to read (default: the task of the first model)")
    parser.add_argument(
        "--model", type=Path, help="exported model file, read with alone (default: CXR_MODEL and the shipped ones)"
    )
    parser.add_argument(
        "--anyway", action="store_true", help="read films that the film check refuses, too; their rows say so"
    )
    parser.add_argument("--limit", type=int, metavar="N", help="stop after the first N films")
    parser.add_argument("--maps", type=Path, metavar="DIR", help="write the maps of each film, as .npz")
    parser.add_argument("--overlays", type=Path, metavar="DIR", help="write the film with the heat map of each alarm")
    parser.add_argument("--workers", type=int, metavar="N", help="processes that decode (default: one for each core)")
    parser.add_argument("--ray", metavar="ADDRESS", help="read on the Ray cluster there; `local` starts one here")


def run(options: argparse.Namespace) -> int:
    """0 when each film has its row, also where that says why it was not read."""
    plan = _plan(options)
    if next(plan.source.films(), None) is None:
        raise BadRequest(f"There is no PNG, JPEG or DICOM film in {options.source}.")
    reader = plan.load()
    with open_table(options.out, plan.run_of(reader)) as table:
        if not table.is_finished:
            films, unread = _fill(table, plan, reader, options)
            print(f"{films} films, {unread} of them not read: the column error says why.", file=sys.stderr)
        table.finish()
    return 0


def _plan(options: argparse.Namespace) -> Plan:
    for name in ("limit", "workers"):
        if (given := getattr(options, name)) is not None and given < 1:
            raise BadRequest(f"--{name} is {given}; give a number from 1 up.")
    _validate_overlays(options)
    return Plan(
        open_source(options.source),
        Settings.from_environment(),
        options.task or "",
        options.model,
        options.anyway,
        options.maps,
        options.overlays,
    )


def _validate_overlays(options: argparse.Namespace) -> None:
    if options.overlays and options.overlays.resolve().is_relative_to(Path(options.source).resolve()):
        raise BadRequest(f"--overlays {options.overlays} lies in SOURCE, and would be read as films; choose another.")


def _fill(table: Table, plan: Plan, reader: Reader, options: argparse.Namespace) -> tuple[int, int]:
    """Writes the rows that are not there yet; how many there are then, and how many of these films were not read."""
    names = islice(plan.source.films(), options.limit)
    films, unread = resume(table, names)
    rows = _rows(plan, reader, enumerate(names, films + 1), options)
    with closing(rows), _progress(films) as progress:
        threading.Thread(target=_count, args=(plan.source, options.limit, progress), daemon=True).start()
        for row in rows:
            table.write(row)
            unread += not row.get(reader.info.labels[0])
            progress.update()
    return progress.n, unread


def _rows(
    plan: Plan, reader: Reader, films: Iterator[Numbered], options: argparse.Namespace
) -> Generator[Row, None, None]:
    if options.ray:
        yield from rows_on_ray(options.ray, plan, plan.run_of(reader), films, options.workers)
        return
    with plan.reading(reader, options.workers or os.cpu_count() or 1) as reading, closing(reading.rows(films)) as rows:
        yield from rows


def _progress(done: int) -> "tqdm[NoReturn]":
    """Rate and time left; in a log a line now and then."""
    return tqdm(initial=done, unit="film", mininterval=0.5 if sys.stderr.isatty() else 30)


def _count(source: Source, limit: int | None, progress: "tqdm[NoReturn]") -> None:
    """How many films there are, counted beside the reading of them: listing a bucket takes its time."""
    with suppress(CxrError):  # the reading itself meets it too, and says so
        progress.total = sum(1 for _ in islice(source.films(), limit))
