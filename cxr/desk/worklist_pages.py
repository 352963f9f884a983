"""The page of the worklist, what is done with many of its films at once, and the way through it film by film."""

import time
from typing import Any
from urllib.parse import parse_qsl

from flask import flash, has_request_context, redirect, render_template, request, url_for
from werkzeug.datastructures import MultiDict
from werkzeug.wrappers import Response as AnyResponse

from cxr.desk.forms import fields
from cxr.desk.pages import pages
from cxr.desk.refusals import refusals_of
from cxr.desk.views import intake, settings
from cxr.desk.visitors import visitor
from cxr.desk.worklist import ANYBODY, NOBODY, Wanted
from cxr.desk.worklist_chosen import MOST_CHOSEN, MOST_DELETED, delete_listed, taken_in_before, validate_number
from cxr.desk.worklist_csv import table_of
from cxr.desk.worklist_query import AT, FILTERS, LIST, STATES, Chosen, chosen, searches
from cxr.errors import BadRequest

PAGE_SIZE = 50
DELETED = "deleted"  # what is told once, on the page that follows
ACTIONS = ("csv", "delete")
SCOPES = ("chosen", "all")
FILM_PAGE = ("pages.film", "pages.delete", "pages.read_anyway", "answers.answer", "answers.answered_by")


@pages.get("/films")
def films() -> str:
    asked = chosen(request.args, "before")
    upload = asked.given.get("upload", "")
    size = settings().max_request_films if upload else PAGE_SIZE
    worklist = intake().store.worklist
    shown: dict[str, Any] = {
        "page": worklist.page(asked.wanted, size, request.args.get("before", "")),
        "count": worklist.count(asked.wanted),
        "refusals": refusals_of(intake().store.engine, upload) if upload else [],
        "answerers": worklist.answerers(),
        "without_reading": {} if asked.filters or asked.text else worklist.without_reading(),
    }
    return render_template("films.html", asked=asked, now=time.time(), choices=_choices(), most=MOST_DELETED, **shown)


@pages.post("/films/list")
def choose_films() -> AnyResponse:
    """The filters as a form: harmless ones go into the address, what was searched for does not; see Searches."""
    names = ("sort", *(name for name in FILTERS if name not in ("patient", "search", "upload")))
    *values, patient, text = fields(*names, "patient", "text")
    given = dict(zip(names, values, strict=True)) | {
        "patient": patient,
        "search": searches().keep(text, visitor().name),
    }
    return redirect(url_for("pages.films", **chosen(MultiDict(given)).but()), 303)


@pages.post("/films/chosen")
def act_on_films() -> AnyResponse:
    """Delete many films, or have them as a table: those that were chosen, or all of the list as it was shown."""
    action, asked, wanted = _validated_action()
    if action == "csv":
        return table_of(wanted)
    flash(str(len(delete_listed(wanted))), DELETED)
    return redirect(url_for("pages.films", **asked.but()), 303)


@pages.app_url_defaults
def _stay_in_list(endpoint: str, values: dict[str, Any]) -> None:
    """Links and forms of a film's page, and what answers the forms, keep the list from which it was opened.

    Those of the same film keep its place there, too.
    """
    if endpoint in FILM_PAGE and has_request_context() and request.endpoint in FILM_PAGE:
        values.setdefault(LIST, request.args.get(LIST))
        if values.get("film_id") == (request.view_args or {}).get("film_id"):
            values.setdefault(AT, request.args.get(AT))


def _choices() -> dict[str, list[tuple[str, str]]]:
    """Values and words of each select."""
    readers = intake().readers
    return {
        "finding": list(readers.alarm_titles.items()),
        "state": [(state.value, state.value.capitalize()) for state in STATES],
        "task": [(task, info.title) for task, info in readers.tasks.items()],
        "answered": [(NOBODY, "by nobody"), (ANYBODY, "by anybody")],
    }


def _validated_action() -> tuple[str, Chosen, Wanted]:
    """What is to be done, the list that it was asked from, and the films. Raises BadRequest."""
    action, scope, query, shown_at = fields("action", "scope", LIST, "shown_at", many=("film",))
    if action not in ACTIONS or scope not in SCOPES:
        raise BadRequest("The form asks for nothing that the desk does; send it from the page of films.")
    asked = chosen(MultiDict(parse_qsl(query)))
    ids = tuple(request.form.getlist("film"))
    if scope == "all" and ids:
        raise BadRequest(f"{len(ids)} films are ticked, and all of the list are asked for; take one or the other.")
    if scope == "all":  # films that came after the page was shown were not meant
        return action, asked, taken_in_before(shown_at, asked.wanted, "reload the page, and choose again.")
    validate_number(ids, MOST_CHOSEN)
    return action, asked, Wanted(sort=asked.wanted.sort, films=ids)
