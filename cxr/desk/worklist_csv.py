"""Films of the worklist as a table: one line for each, with the probability of every label."""

import csv
import io
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import Any

from flask import Response, stream_with_context

from cxr.desk.audit import Entry
from cxr.desk.film_report import safe_cell
from cxr.desk.trail import audit_log, tells_of
from cxr.desk.views import intake, task_of
from cxr.desk.visitors import visitor
from cxr.desk.worklist import Line, Wanted, Worklist

CHUNK = 200  # films in memory at once
ABOUT = (
    "film", "name", "patient", "study", "taken_in", "read_at", "state", "error", "task", "model", "top_finding",
    "top_probability", "findings_above", "urgency", "answered_by",
)  # fmt: skip


def table_of(wanted: Wanted) -> Response:
    """All films that are wanted now, in their order, to be saved as a file.

    Which they are is known before the first line leaves: no answer that moves one meanwhile loses or doubles it.
    """
    tells_of([])  # each film is told below, before its line leaves
    worklist = intake().store.worklist
    labels = list(dict.fromkeys(label for task in worklist.tasks(wanted) for label in task_of(task).labels))
    lines = stream_with_context(_lines(worklist, worklist.ids(wanted), labels))
    return Response(lines, mimetype="text/csv", headers={"Content-Disposition": "attachment; filename=films.csv"})


def _lines(worklist: Worklist, film_ids: list[str], labels: list[str]) -> Iterator[str]:
    """Few of them are in memory at once. A film whose export cannot be told does not leave."""
    yield _written([*ABOUT, *labels])
    for start in range(0, len(film_ids), CHUNK):
        lines = worklist.lines(film_ids[start : start + CHUNK])
        audit_log().record(*(Entry(visitor().name, "export", line.film.id) for line in lines))
        yield _rows(worklist, lines, labels)


def _rows(worklist: Worklist, lines: list[Line], labels: list[str]) -> str:
    """A label that a film's model does not know stays empty."""
    probabilities = worklist.probabilities([line.film.id for line in lines])
    return "".join(
        _written([*_about(line), *(probabilities.get(line.film.id, {}).get(label, "") for label in labels)])
        for line in lines
    )


def _about(line: Line) -> list[Any]:
    film, report = line.film, line.film.report
    above = ";".join(line.above)
    top = [report.top_label, report.top_probability] if report and report.top_label else ["", ""]
    return [
        film.id, safe_cell(film.name), line.place.patient, line.place.study, _iso(film.created_at), _iso(film.read_at),
        film.state, film.error, film.task, report.model_sha256 if report else "", *top, above,
        round(line.place.urgency, 3), safe_cell(";".join(line.answered_by)),
    ]  # fmt: skip


def _iso(seconds: float | None) -> str:
    return "" if seconds is None else datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")


def _written(cells: Iterable[Any]) -> str:
    line = io.StringIO(newline="")
    csv.writer(line).writerow(cells)
    return line.getvalue()
