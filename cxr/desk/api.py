"""The same desk for programs: JSON under /api/v1, health, and the document that describes both."""

from flask import Blueprint, Response, current_app, jsonify, request, url_for

from cxr.desk.answers_views import answers_json, take_answer
from cxr.desk.openapi import document
from cxr.desk.tables import UNREAD
from cxr.desk.uploads import take_in_one
from cxr.desk.views import film_json, find_film, intake, settings, taken_json
from cxr.desk.visitors import visitor
from cxr.errors import BadRequest

api = Blueprint("api", __name__)


@api.post("/api/v1/films")
def upload() -> tuple[Response, int, dict[str, str]]:
    """One film, or a ZIP file of films: then what became of each."""
    taken = take_in_one(intake(), request, settings())
    if taken.unpacked:
        return jsonify(taken_json(taken)), 201, {}
    (film_id,) = taken.films
    return jsonify(film_json(find_film(film_id))), 201, {"Location": url_for("api.film", film_id=film_id)}


@api.get("/api/v1/films/<film_id>")
def film(film_id: str) -> Response:
    """Of a film that is not read yet, also when to ask again."""
    row = find_film(film_id)
    answer = jsonify(film_json(row))
    answer.headers.update({"Retry-After": "1"} if row.state in UNREAD else {})
    return answer


@api.post("/api/v1/films/<film_id>/read-anyway")
def read_anyway(film_id: str) -> Response:
    intake().read_anyway(film_id, visitor().name)
    return jsonify(film_json(find_film(film_id)))


@api.get("/api/v1/films/<film_id>/answers")
def answers(film_id: str) -> Response:
    return answers_json(film_id)


@api.post("/api/v1/films/<film_id>/answers")
def answer(film_id: str) -> Response:
    fields = request.get_json(silent=True)
    if not isinstance(fields, dict):
        raise BadRequest('An answer is a JSON object, e.g. {"label": "Effusion", "verdict": "agree"}.')
    take_answer(film_id, fields)
    return answers_json(film_id)


@api.delete("/api/v1/films/<film_id>")
def delete(film_id: str) -> tuple[str, int]:
    intake().delete(film_id, visitor().name)
    return "", 204


@api.get("/healthz")
def healthz() -> Response:
    """The process answers."""
    return jsonify(status="ok")


@api.get("/readyz")
def readyz() -> tuple[Response, int]:
    """The database answers, and the default model was loaded at the start; others are when a film asks for them."""
    ready = intake().store.is_ready()
    return jsonify(status="ready" if ready else "database does not answer"), 200 if ready else 503


@api.get("/api/v1/openapi.json")
def openapi() -> Response:
    return jsonify(document(current_app))


@api.get("/openapi.json")
def openapi_at_root() -> Response:
    """Where programs look for it first."""
    return openapi()
