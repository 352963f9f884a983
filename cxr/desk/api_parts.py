"""Parts of a film that pages show, and the models' cards, for programs."""

from collections.abc import Callable
from typing import Any

from flask import Response, jsonify, url_for

from cxr.cards.card import Described
from cxr.cards.measured import plain
from cxr.desk.api import api
from cxr.desk.pages import heatmap, pixels, preview, thumbnail
from cxr.desk.viewing import maps
from cxr.desk.views import intake
from cxr.errors import NotFound
from cxr.modelfile import ModelInfo

# The same views as those of the pages.
OF_A_FILM: dict[str, Callable[..., Response]] = {
    "heatmaps/<label>.png": heatmap,
    "maps": maps,
    "pixels": pixels,
    "film.png": preview,
    "thumbnail.jpg": thumbnail,
}
for path, view in OF_A_FILM.items():
    api.add_url_rule(f"/api/v1/films/<film_id>/{path}", view_func=view)


@api.get("/api/v1/models")
def models() -> Response:
    readers = intake().readers
    told = [_model_json(task, info, readers.described(task)) for task, info in readers.tasks.items()]
    return jsonify(models=told, default=readers.default)


@api.get("/api/v1/models/<task>")
def model(task: str) -> Response:
    readers = intake().readers
    if task not in readers.tasks:
        raise NotFound(f"There is no model of the task {task[:64]!r} here; /api/v1/models lists those that there are.")
    info, described = readers.tasks[task], readers.described(task)
    points = plain(info.operating_points)
    measured = plain(described.card.measured) if described.card else None
    return jsonify(_model_json(task, info, described) | {"operating_points": points, "measured": measured})


def _model_json(task: str, info: ModelInfo, described: Described) -> dict[str, Any]:
    return {
        "task": task,
        "title": info.title,
        "audience": info.audience,
        "kind": info.kind,
        "labels": info.labels,
        "name": info.name,
        "architecture": info.architecture,
        "sha256": described.sha256,
        "calibration": plain(info.site),
        "trouble": described.trouble or None,
        "links": {"self": url_for("api.model", task=task), "page": url_for("cards.model", task=task)},
    }
