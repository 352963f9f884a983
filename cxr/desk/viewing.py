"""What the viewer asks for beside a film's page: the maps as numbers, and two films side by side."""

import dataclasses
from base64 import b64encode

from flask import Blueprint, Response, jsonify, render_template, request

from cxr.desk.tables import FilmRow, State
from cxr.desk.trail import tells_of
from cxr.desk.views import chosen_label, find_film, find_report, marked, verdict
from cxr.errors import BadRequest, Conflict
from cxr.films.film import shown
from cxr.modelfile import FAINTEST
from cxr.reading.report import Report

SIDES = ("left", "right")

viewing = Blueprint("viewing", __name__)


@dataclasses.dataclass(frozen=True)
class Side:
    """One of two films that are compared."""

    name: str  # one of SIDES
    film: FilmRow
    report: Report
    verdict: str
    chosen: str  # label whose heat map is shown; empty: none

    def is_dark(self, label: str) -> bool:
        """Whether the label's heat map shows nothing."""
        return bool(self.report.map_of(label).max() < FAINTEST)


@viewing.get("/films/<film_id>/maps")
def maps(film_id: str) -> Response:
    """The maps of all findings by label, each (h, w) uint8 in base64, and where the film lies in their square."""
    report = find_report(film_id)
    _, height, width = report.maps.shape
    coded = {f.label: b64encode(report.map_of(f.label).tobytes()).decode() for f in report.findings}
    return jsonify(height=height, width=width, box=dataclasses.asdict(report.box), maps=coded)


@viewing.get("/compare")
def compare() -> str:
    """Two films: `left`, by custom the prior one, and `right`."""
    left, right = (request.args.get(side, "") for side in SIDES)
    if not left or not right:
        raise BadRequest("Two films are compared: begin at the page of one of them, under “Compare with”.")
    if left == right:
        raise BadRequest("Left and right are the same film; choose another one under “Compare with” on its page.")
    tells_of([left, right])
    return render_template("compare.html", sides=[_side("left", left), _side("right", right)])


def _side(name: str, film_id: str) -> Side:
    film = find_film(film_id)
    if film.report is None or film.state != State.READ:
        raise Conflict(
            f"The film on the {name}, {shown(film.name)}, is {film.state}, so nothing was read in it; look at its page "
            "for the reason, or choose another film."
        )
    report = film.report.restore()
    return Side(
        name, film, report, marked(film) + verdict(film), chosen_label(report, request.args.get(f"{name}-finding"))
    )
