"""The page of the statistics, and the same figures as JSON and as csv."""

import csv
import io
from collections.abc import Iterator
from typing import Any

from flask import Blueprint, Response, jsonify, render_template, request, url_for

from cxr.cards.measured import plain
from cxr.desk import statistics_charts
from cxr.desk.api import api
from cxr.desk.forms import validate_parameters
from cxr.desk.statistics import PERIODS, FindingFigures
from cxr.desk.statistics_drift import FEWEST_FILMS
from cxr.desk.statistics_queries import Counted, ModelFile, chosen_file, count, model_files
from cxr.desk.views import intake
from cxr.errors import BadRequest
from cxr.films.reasons import REASONS
from cxr.modelfile import POINT_SETS, ModelInfo

HEAD = ("figure", "finding", "detail", "value", "low", "high", "films")
DEFAULT_DAYS = "30"
PARAMETERS = ("model", "days")
Row = tuple[object, ...]

statistics = Blueprint("statistics", __name__)


@statistics.get("/statistics")
def page() -> str:
    files = model_files(intake().store.engine)
    counted = _counted(files)
    chosen = {"model": counted.model.key, "days": counted.days} if counted else {}
    words = {"periods": PERIODS, "point_sets": POINT_SETS, "reasons": REASONS, "fewest": FEWEST_FILMS}
    points = intake().site.now.operating_point
    told = {"counted": counted, "chosen": chosen, "points": points, "charts": statistics_charts}
    return render_template("statistics.html", files=_by_task(files), **told, **words)


@api.get("/api/v1/statistics")
def statistics_json() -> Response:
    """Figures of `?model=` and `?days=`; null where no film was read yet."""
    files = model_files(intake().store.engine)
    counted = _counted(files)
    return jsonify(
        models=[_model_json(file) for file in files],
        model=counted and counted.model.key,
        days=_days(),
        since=counted and counted.since,
        sample_known=counted and counted.served,
        figures=counted and _figures_json(counted),
    )


@statistics.get("/statistics.csv")
@api.get("/api/v1/statistics.csv")
def statistics_csv() -> Response:
    counted = _counted(model_files(intake().store.engine))
    table = io.StringIO()
    csv.writer(table, lineterminator="\n").writerows([HEAD, *(_rows(counted) if counted else ())])
    headers = {"Content-Disposition": "attachment; filename=statistics.csv"}
    return Response(table.getvalue(), mimetype="text/csv", headers=headers)


def _counted(files: list[ModelFile]) -> Counted | None:
    """Raises BadRequest for a parameter that is misspelt or there twice: passed over, it would tell of other films."""
    validate_parameters("The statistics take", PARAMETERS)
    days = _days()
    file = chosen_file(files, request.args.get("model", ""), intake().readers.default)
    return count(intake().store.engine, file, days, _served(file)) if file else None


def _days() -> str:
    days = request.args.get("days", DEFAULT_DAYS)
    if days not in PERIODS:
        raise BadRequest(f"days is {days[:32]!r}; choose one of {', '.join(PERIODS)}.")
    return days


def _served(file: ModelFile) -> ModelInfo | None:
    """What the model file says, where this very file serves the task now, with this calibration."""
    readers = intake().readers
    info = readers.tasks.get(file.task)
    if info is None or readers.sha256_of(file.task) != file.sha256:
        return None
    return info if (info.site.date if info.site else "") == file.calibration else None


def _by_task(files: list[ModelFile]) -> dict[str, list[ModelFile]]:
    tasks = dict.fromkeys(file.task for file in files)
    return {task: [file for file in files if file.task == task] for task in tasks}


def _model_json(file: ModelFile) -> dict[str, str | None]:
    told = {"key": file.key, "task": file.task, "name": file.name, "sha256": file.sha256}
    return {**told, "calibration": file.calibration or None}


def _figures_json(counted: Counted) -> dict[str, Any]:
    figures: dict[str, Any] = plain(counted.figures)
    for told, finding in zip(figures["findings"], counted.figures.findings, strict=True):
        if finding.drift:
            told["drift"]["sentence"] = finding.drift.sentence
    figures["fewest_films_for_drift"] = FEWEST_FILMS
    figures["links"] = {"page": url_for("statistics.page", model=counted.model.key, days=counted.days)}
    return figures


def _rows(counted: Counted) -> Iterator[Row]:
    """One figure in each row, under HEAD."""
    figures = counted.figures
    for span in figures.volume.spans:
        yield "films read", "", statistics_charts.day(span.start), span.read, "", "", ""
        yield "films refused", "", statistics_charts.day(span.start), span.refused, "", "", ""
    yield "films waiting", "", "", figures.volume.waiting, "", "", ""
    yield "films failed", "", "", figures.volume.failed, "", "", ""
    for code, films in figures.refusals.reasons.items():
        yield "refused for", "", code, films, "", "", ""
    yield "refused and read anyway", "", "", figures.refusals.read_anyway, "", "", ""
    if time := figures.reading_time:
        yield "reading time", "", "median ms", time.median, "", "", time.films
        yield "reading time", "", "95th percentile ms", time.p95, "", "", time.films
    for finding in figures.findings:
        yield from _finding_rows(finding)


def _finding_rows(finding: FindingFigures) -> Iterator[Row]:
    for share in finding.shares:
        ends = (share.share.low, share.share.high) if share.films else ("", "")
        value = share.share.value if share.films else ""
        yield "share above", finding.label, share.operating_points, value, *ends, share.films
        if share.sample_share is not None:
            detail = f"{share.operating_points}, calibration sample"
            yield "share above", finding.label, detail, share.sample_share, "", "", share.sample_films
    if drifted := finding.drift:
        yield "population stability index", finding.label, "", drifted.index, "", "", drifted.films
        yield "population stability index", finding.label, "chance, 99 %", drifted.chance, "", "", drifted.films
    for side in ("above", "below"):
        for verdict, answers in getattr(finding.agreement, side).items():
            yield "answers", finding.label, f"model {side}, {verdict}", answers, "", "", ""
