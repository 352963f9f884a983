"""The worklist for programs: the same filters, orders and pages."""

import time
from typing import Any

from flask import Response, request, url_for

from cxr.desk.api import api
from cxr.desk.forms import json_fields
from cxr.desk.views import film_summary, intake
from cxr.desk.visitors import visitor
from cxr.desk.worklist import Line, Wanted
from cxr.desk.worklist_chosen import (
    MOST_CHOSEN,
    MOST_DELETED,
    delete_films,
    delete_listed,
    taken_in_before,
    validate_number,
)
from cxr.desk.worklist_csv import table_of
from cxr.desk.worklist_query import chosen, searches
from cxr.errors import BadRequest

LARGEST_PAGE = 100
BEFORE, ALL = "taken_before", "all"  # of the films that a program deletes


@api.get("/api/v1/films")
def films() -> dict[str, Any]:
    """Newest first, unless `sort` says otherwise."""
    listed_at, asked = time.time(), chosen(request.args, "before", "limit", "totals", sort="date")
    limit, totals = _limit(request.args.get("limit", "50")), _wants_totals(request.args.get("totals", "no"))
    page = intake().store.worklist.page(asked.wanted, limit, request.args.get("before", ""))
    following = page.next and url_for("api.films", **asked.but(before=page.next), limit=limit)
    listed = {"films": [line_json(line) for line in page.lines], "next": following, "listed_at": listed_at}
    return listed | ({"totals": _totals(asked.wanted)} if totals else {})


@api.get("/api/v1/films.csv")
def films_table() -> Response:
    return table_of(chosen(request.args, sort="date").wanted)


@api.post("/api/v1/films.csv")
def chosen_films_table() -> Response:
    return table_of(Wanted(sort="date", films=_chosen_films(MOST_CHOSEN)))


@api.post("/api/v1/films/delete")
def delete_chosen() -> dict[str, list[str]]:
    return {"deleted": delete_films(_chosen_films(MOST_DELETED))}


@api.delete("/api/v1/films")
def delete_list() -> dict[str, Any]:
    """As on the page: films that came after somebody looked at the list are not meant."""
    wanted = _list_to_delete()
    return {"deleted": delete_listed(wanted), "left": intake().store.worklist.count(wanted)}


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


def _totals(wanted: Wanted) -> dict[str, Any]:
    """What stands above the list on its page. It takes a pass over all films, hence only where it is asked for."""
    worklist = intake().store.worklist
    return {
        "films": worklist.count(wanted),
        "without_reading": worklist.without_reading(),
        "answerers": worklist.answerers(),
    }


def _wants_totals(text: str) -> bool:
    if text not in ("yes", "no"):
        raise BadRequest(f"totals is {text[:32]!r}; choose yes or no.")
    return text == "yes"


def _chosen_films(most: int) -> tuple[str, ...]:
    (film_ids,) = json_fields(films=list)
    if not all(isinstance(film_id, str) for film_id in film_ids):
        raise BadRequest('films is a list of ids, e.g. {"films": ["ID", "ID"]}.')
    validate_number(film_ids, most)
    return tuple(film_ids)


def _list_to_delete() -> Wanted:
    """Raises BadRequest unless it is said which list, and when it was looked at: a slip would delete all films."""
    asked = chosen(request.args, BEFORE, ALL, sort="date")
    for name, value in request.args.items():
        if not value.strip():
            raise BadRequest(
                f"The parameter {name} is empty: without it more films would go. Fill it, or leave it out."
            )
    everything = request.args.get(ALL)
    if everything not in (None, "yes") or bool(everything) == bool(asked.filters or asked.text):
        raise BadRequest(f"Give filters, whose films are deleted, or {ALL}=yes, and no filters, for all films.")
    remedy = f"give {BEFORE}, the listed_at of a list, in the address."
    wanted = taken_in_before(request.args.get(BEFORE, ""), asked.wanted, remedy)
    if wanted.until is None or wanted.until > time.time():
        raise BadRequest(f"{BEFORE} is to come, by the clock of the desk; {remedy}")
    return wanted


def _limit(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) < 9 and 1 <= int(text) <= LARGEST_PAGE):
        raise BadRequest(f"limit is not a number of films from 1 to {LARGEST_PAGE}; ask for the next page instead.")
    return int(text)
