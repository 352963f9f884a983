"""The worklist for programs: the same filters, orders and pages."""

from typing import Any

from flask import Response, request, url_for

from cxr.desk.api import api
from cxr.desk.forms import json_fields
from cxr.desk.views import film_summary, intake
from cxr.desk.visitors import visitor
from cxr.desk.worklist import Line, Wanted
from cxr.desk.worklist_chosen import MOST_CHOSEN, MOST_DELETED, delete_films, validate_number
from cxr.desk.worklist_csv import table_of
from cxr.desk.worklist_query import chosen, searches
from cxr.errors import BadRequest

LARGEST_PAGE = 100


@api.get("/api/v1/films")
def films() -> dict[str, Any]:
    """Newest first, unless `sort` says otherwise."""
    asked, limit = chosen(request.args, "before", "limit", sort="date"), _limit(request.args.get("limit", "50"))
    page = intake().store.worklist.page(asked.wanted, limit, request.args.get("before", ""))
    following = page.next and url_for("api.films", **asked.but(before=page.next), limit=limit)
    return {"films": [line_json(line) for line in page.lines], "next": following}


@api.get("/api/v1/films.csv")
def films_table() -> Response:
    return table_of(chosen(request.args, sort="date").wanted)


@api.post("/api/v1/films.csv")
def chosen_films_table() -> Response:
    return table_of(Wanted(sort="date", films=_chosen_films(MOST_CHOSEN)))


@api.post("/api/v1/films/delete")
def delete_chosen() -> dict[str, list[str]]:
    return {"deleted": delete_films(_chosen_films(MOST_DELETED))}


@api.post("/api/v1/searches")
def search() -> tuple[dict[str, str], int]:
    """The word that stands for a text in the parameter `search` of lists."""
    sent = request.get_json(silent=True)
    text = sent.get("text") if isinstance(sent, dict) and len(sent) == 1 else None
    if not isinstance(text, str) or not text.strip():
        raise BadRequest('A search is a JSON object with a text, e.g. {"text": "0042"}.')
    return {"search": searches().keep(text, visitor().name)}, 201


def line_json(line: Line) -> dict[str, Any]:
    """A film in a list: without its findings, but for the names of those above."""
    place = line.place
    listed = {
        "patient": place.patient or None,
        "study": place.study or None,
        "urgency": round(place.urgency, 3),
        "above": list(line.above),
        "answered_by": list(line.answered_by),
    }
    return film_summary(line.film) | listed


def _chosen_films(most: int) -> tuple[str, ...]:
    (film_ids,) = json_fields(films=list)
    if not all(isinstance(film_id, str) for film_id in film_ids):
        raise BadRequest('films is a list of ids, e.g. {"films": ["ID", "ID"]}.')
    validate_number(film_ids, most)
    return tuple(film_ids)


def _limit(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) < 9 and 1 <= int(text) <= LARGEST_PAGE):
        raise BadRequest(f"limit is not a number of films from 1 to {LARGEST_PAGE}; ask for the next page instead.")
    return int(text)
