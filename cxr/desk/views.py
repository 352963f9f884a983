"""What pages and API have in common: the film that an address names, and a film as JSON."""

from datetime import UTC, datetime
from typing import Any

from flask import request, url_for

from cxr.desk.extensions import extension
from cxr.desk.intake import Intake
from cxr.desk.tables import UNREAD, FilmRow, State
from cxr.desk.uploads import Refused, Taken
from cxr.errors import Conflict, NotFound
from cxr.modelfile import ModelInfo
from cxr.reading.report import DISCLAIMER, Finding, Report, title_of
from cxr.settings import Settings
from cxr.tasks import TASKS, Task


def intake() -> Intake:
    return extension("intake", Intake)


def settings() -> Settings:
    return extension("settings", Settings)


def find_film(film_id: str) -> FilmRow:
    """The film with its report. Raises NotFound."""
    return intake().store.film(film_id)


def find_report(film_id: str) -> Report:
    """Raises NotFound when there is no such film, Conflict when it has no report."""
    return report_of(find_film(film_id))


def report_of(film: FilmRow) -> Report:
    """Raises Conflict when the film has no report."""
    if film.report is None or film.state == State.REFUSED:
        raise Conflict(f"There is no reading of this film, which is {film.state}; look at its page for the reason.")
    return film.report.restore()


def chosen_label(report: Report, asked: str | None) -> str:
    """Label whose heat map is shown: the one asked for, else the top one if it is an alarm. Raises NotFound."""
    if asked is None:
        top = report.top()
        return top.label if top.alarm else ""
    if asked and asked not in [f.label for f in report.findings]:
        raise NotFound(f"The model {report.model.name} has no such finding; choose one of those on the film's page.")
    return asked


def task_of(name: str) -> ModelInfo | Task:
    """Title, audience and kind of a task, also of one that is served no more; no kind of one that nobody knows."""
    return (
        intake().readers.tasks.get(name)
        or TASKS.get(name)
        or Task(name, name, "the films that its model was made for", (), kind="")
    )


def trouble(film: FilmRow) -> str:
    """Why a film has no reading, in a sentence; empty when it has one or will have it soon."""
    unserved = film.state in UNREAD and film.task not in intake().readers.tasks
    if unserved and intake().store.is_left(film):  # else another desk is reading it
        return (
            f"This film waits for a model of the task {film.task}, which is not served here now. It is kept, and read "
            "as soon as the desk is opened with such a model (--model, CXR_MODEL); or upload it for another task."
        )
    return film.error


def verdict(film: FilmRow) -> str:
    """What was read in a film, in a sentence; empty when nothing was, or when nobody knows what its task asks."""
    report, kind = film.report, task_of(film.task).kind
    if report is None or not kind:
        return ""
    top = title_of(report.top_label)
    if kind == "multiclass":
        return f"{top} is most probable."
    if report.above > 1:
        return f"{report.above} findings above, {top} first."
    return f"{top} above its operating point." if report.above else "No finding above its operating point."


def marked(film: FilmRow) -> str:
    """What goes before the reading of a film that was refused and read anyway; empty for all others."""
    return "Refused, read anyway: " if film.state == State.READ and film.error else ""


def film_json(film: FilmRow) -> dict[str, Any]:
    """A film and, once it was read, what was read in it."""
    known: dict[str, Any] = {
        **_known(film),
        "read_at": film.read_at,
        "links": {
            "self": url_for("api.film", film_id=film.id),
            "page": url_for("pages.film", film_id=film.id),
            "pixels": url_for("api.pixels", film_id=film.id),
            "maps": url_for("api.maps", film_id=film.id),
            "heatmap": url_for("api.heatmap", film_id=film.id, label="LABEL"),
            "answers": url_for("api.answers", film_id=film.id),
            "pdf": url_for("api.pdf", film_id=film.id),
            "csv": url_for("api.table", film_id=film.id),
        },
        "disclaimer": DISCLAIMER,
        "model": None,
        "findings": [],
        "check": None,
    }
    return known if film.report is None else known | film.report.restore().to_dict()


def _known(film: FilmRow) -> dict[str, Any]:
    """What is known of any film, read or not."""
    return {
        "id": film.id,
        "name": film.name,
        "state": film.state,
        "error": trouble(film) or None,
        "task": film.task,
        "created_at": film.created_at,
    }


def film_summary(film: FilmRow) -> dict[str, Any]:
    """A film in a list: without its findings, but for the top one."""
    read = film.report if film.state == State.READ else None
    top = read and {"label": read.top_label, "probability": read.top_probability}
    return {
        **_known(film),
        "top": top,
        "findings_above": read and read.above,
        "verdict": (marked(film) + verdict(film)) or None if read else None,
        "links": {
            "self": url_for("api.film", film_id=film.id),
            "page": url_for("pages.film", film_id=film.id),
            "thumbnail": url_for("api.thumbnail", film_id=film.id),
        },
    }


def taken_json(taken: Taken) -> dict[str, Any]:
    """What became of each film of an upload."""
    films, refused = [], list(taken.refused)
    for film_id in taken.films:
        try:
            films.append(film_summary(find_film(film_id)))
        except NotFound as gone:  # somebody else deleted it while the others were read
            refused.append(Refused("a film of this upload", gone))
    return {
        "films": films,
        "refused": [{"name": r.name, "error": str(r.error), "status": r.error.status} for r in refused],
        "links": {"page": url_for("pages.films", upload=taken.upload)},
    }


def wants_json() -> bool:
    """Whether the answer is for a program: the API, or a script of a page."""
    best = request.accept_mimetypes.best_match(["text/html", "application/json"])
    return request.path.startswith("/api/") or best == "application/json"


def moment(seconds: float) -> str:
    """Seconds since 1970 as people read them."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M UTC")


def percent(share: float) -> str:
    """`0.123` -> `12 %`: as many decimals as there is sense in."""
    if share < 0.001:
        return "< 0.1 %"
    return f"{share * 100:.1f} %" if share < 0.1 else f"{share * 100:.0f} %"


def interval(finding: Finding) -> str:
    """`8 to 17`, with as many decimals as the probability has; empty without an interval."""
    decimals = 1 if finding.probability < 0.1 else 0
    return " to ".join(f"{end * 100:.{decimals}f}" for end in finding.interval or ())
