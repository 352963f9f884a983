"""The pages that people see."""

import secrets
from dataclasses import dataclass

from flask import Blueprint, Response, jsonify, redirect, render_template, request, url_for
from werkzeug.wrappers import Response as AnyResponse

from cxr.desk.answers_views import said_of
from cxr.desk.film_report import told_of_model
from cxr.desk.forms import fields
from cxr.desk.pictures import preview_png, raw_pixels
from cxr.desk.refusals import add_refusals
from cxr.desk.uploads import Taken, in_mib, take_in_all
from cxr.desk.views import chosen_label, film_summary, find_film, find_report, intake, settings, taken_json, wants_json
from cxr.desk.visitors import visitor
from cxr.desk.worklist_query import chosen_of_list
from cxr.errors import BadRequest
from cxr.modelfile import FAINTEST
from cxr.reading.report import Finding, Report
from cxr.wording import blind_spots

pages = Blueprint("pages", __name__)


@dataclass(frozen=True)
class Row:
    """One finding as the panel shows it."""

    finding: Finding
    bar: float  # length in percent; 0 where there is nothing to compare with
    chosen: bool
    lit: bool  # whether its heat map shows anything

    @property
    def remark(self) -> str:
        """What is said of a heat map beside the finding's name."""
        return "" if self.lit else " · no part of the film raised this score much"


@pages.get("/")
def upload_page() -> str:
    readers, largest = intake().readers, in_mib(settings().max_film_bytes)
    key = secrets.token_hex(16)  # of the form without a script: a double click on its button sends it twice
    return render_template("upload.html", settings=settings(), tasks=readers.tasks, largest=largest, key=key)


@pages.post("/films")
def upload() -> AnyResponse | tuple[str, int]:
    taken = take_in_all(intake(), request, settings())
    if wants_json():  # the upload page's script: refusals are part of the answer, not its status
        return jsonify(taken_json(taken))
    if taken.alone:
        return _answer_one(taken)
    if not taken.films:
        return render_template("refused.html", refused=taken.refused), _common_status(taken)
    add_refusals(intake().store.engine, taken.upload, [(r.name, str(r.error)) for r in taken.refused])
    return redirect(url_for("pages.films", upload=taken.upload), 303)


@pages.get("/films/<film_id>")
def film(film_id: str) -> str:
    row = find_film(film_id)
    came_from = chosen_of_list()
    beside = intake().store.worklist.neighbours(came_from.wanted, film_id, came_from.at)
    way = {"beside": beside, "came_from": came_from}
    if row.report is None:
        return render_template("unread.html", film=row, **way)
    report = row.report.restore()
    if not report.findings:
        return render_template("unread.html", film=row, check=report.check, **way)
    chosen = chosen_label(report, request.args.get("finding"))
    rows = [_row(report, finding, chosen) for finding in report.ranked()]
    shown = next((row for row in rows if row.chosen), None)
    told = {
        "above": len(report.alarms()),
        "uncalibrated": report.uncalibrated(),
        "intervals": any(row.finding.interval for row in rows),
        "others": intake().store.worklist.comparable(row),
        "said": said_of(row),
        "told_of_model": told_of_model(row, report),
        "blind": blind_spots([f.label for f in report.findings], report.model.audience, report.model.kind),
    }
    return render_template("film.html", film=row, report=report, rows=rows, shown=shown, **told, **way)


@pages.get("/films/<film_id>/state")
def state(film_id: str) -> Response:
    """For scripts that wait for a film to be read: its summary."""
    return jsonify(film_summary(find_film(film_id)))


@pages.get("/films/<film_id>/heatmaps/<label>.png")
def heatmap(film_id: str, label: str) -> Response:
    return Response(find_report(film_id).heatmap_png(label), mimetype="image/png")


@pages.get("/films/<film_id>/film.png")
def preview(film_id: str) -> Response:
    return Response(intake().draw(find_film(film_id), preview_png), mimetype="image/png")


@pages.get("/films/<film_id>/thumbnail.jpg")
def thumbnail(film_id: str) -> Response:
    return Response(intake().store.thumbnail(film_id), mimetype="image/jpeg")


@pages.get("/films/<film_id>/pixels")
def pixels(film_id: str) -> Response:
    """All pixels, uint16 little endian, gzip; width and height in the headers X-Film-Width and X-Film-Height."""
    raw = intake().draw(find_film(film_id), raw_pixels)
    headers = {"Content-Encoding": "gzip", "X-Film-Width": str(raw.width), "X-Film-Height": str(raw.height)}
    return Response(raw.gzip, headers=headers, mimetype="application/octet-stream")


@pages.post("/films/<film_id>/read-anyway")
def read_anyway(film_id: str) -> AnyResponse:
    fields()
    intake().read_anyway(film_id, visitor().name)
    return redirect(url_for("pages.film", film_id=film_id), 303)


@pages.post("/films/<film_id>/delete")
def delete(film_id: str) -> AnyResponse:
    """Then the list goes on behind the film."""
    fields()
    came_from = chosen_of_list()
    intake().delete(film_id, visitor().name)
    place = {"sort": came_from.wanted.sort, "before": came_from.at} if came_from.at else {}
    return redirect(url_for("pages.films", **came_from.but(**place)), 303)


def _row(report: Report, finding: Finding, chosen: str) -> Row:
    lit = bool(report.map_of(finding.label).max() >= FAINTEST)
    return Row(finding, round(100 * report.strength(finding), 1), finding.label == chosen, lit)


def _answer_one(taken: Taken) -> AnyResponse:
    if taken.refused:
        raise taken.refused[0].error
    return redirect(url_for("pages.film", film_id=taken.films[0]), 303)


def _common_status(taken: Taken) -> int:
    statuses = {refused.error.status for refused in taken.refused}
    return statuses.pop() if len(statuses) == 1 else BadRequest.status
