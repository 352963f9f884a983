"""Which films an address asks for: the parameters of the worklist, for pages and for programs alike."""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import parse_qsl, urlencode

from flask import request
from werkzeug.datastructures import MultiDict

from cxr.desk.days import end_of, start_of
from cxr.desk.tables import State
from cxr.desk.views import intake
from cxr.desk.visitors import visitor
from cxr.desk.worklist import ANYBODY, BY, NOBODY, ORDERS, Wanted
from cxr.desk.worklist_rows import normalised
from cxr.desk.worklist_searches import Searches
from cxr.errors import BadRequest, CxrError

STATES = (State.WAITING, State.READ, State.REFUSED, State.FAILED)
FILTERS = ("finding", "state", "task", "answered", "from", "to", "patient", "search", "upload")
PARAMETERS = ("sort", *FILTERS)
# Parameters of a film's page: those of the list that led to it, and the film's place there when it was opened.
LIST, AT = "list", "at"
LONGEST = 100
CHOICES = {"sort": tuple(ORDERS), "state": STATES}


@dataclass(frozen=True)
class Chosen:
    """What an address asks for."""

    given: Mapping[str, Any] = field(default_factory=dict)  # parameters, but for the empty ones
    text: str = ""  # what is searched for
    wanted: Wanted = field(default_factory=Wanted)
    at: str = ""  # cursor of the film that was opened from the list

    @property
    def filters(self) -> int:
        """How many there are, the search left out, which has a field of its own."""
        return sum(name in self.given for name in FILTERS if name != "search")

    @property
    def query(self) -> str:
        """For a link that leads back here."""
        return urlencode({"sort": self.wanted.sort, **self.given})

    def but(self, **others: str) -> dict[str, Any]:
        """The parameters with `others` in their place."""
        changed = {**self.given, **others}
        return {name: value for name, value in changed.items() if value}


def searches() -> Searches:
    return Searches(intake().store.engine)


def chosen(args: MultiDict[str, str], *beside: str, sort: str = "urgency") -> Chosen:
    """What `args` ask for. `beside`: other parameters that they may hold. `sort`: the order where none is named.

    A misspelt filter is refused and not passed over: it would list, export or delete all films.

    Raises:
        BadRequest: a parameter is unknown, there twice, too long, or has no such value.
        NotFound: the search was forgotten, or is somebody else's.
    """
    sent = {name: _only(name, values) for name, values in args.lists()}
    asked = {name: _validated(name, value) for name, value in sent.items() if name not in beside}
    given = {name: value for name, value in asked.items() if value}
    for name, known in CHOICES.items():
        _validate(name, given.get(name, known[0]), known)
    text = searches().text(given["search"], visitor().name) if "search" in given else ""
    return Chosen(given, text, _wanted({"sort": sort} | given, text))


def chosen_of_list() -> Chosen:
    """The list that led to a film's page; all films by date where none did, or where its search was forgotten."""
    with suppress(CxrError):
        asked = chosen(MultiDict(parse_qsl(request.args.get(LIST, ""))), sort="date")
        at = request.args.get(AT, "")
        if at:
            asked.wanted.parse_cursor(at)
        return replace(asked, at=at)
    return Chosen(wanted=Wanted(sort="date"))


def _wanted(given: dict[str, str], text: str) -> Wanted:
    return Wanted(
        sort=given["sort"],
        finding=given.get("finding", ""),
        state=given.get("state", ""),
        task=given.get("task", ""),
        answered=_answered(given.get("answered", "")),
        since=start_of("from", given.get("from", "")),
        until=end_of("to", given.get("to", "")),
        patient=given.get("patient", ""),
        words=tuple(normalised(text).split()),
        or_patient=intake().pseudonyms.patient(text),
        upload=given.get("upload", ""),
    )


def _only(name: str, values: list[str]) -> str:
    if len(values) != 1:
        raise BadRequest(f"The parameter {name[:32]} is there {len(values)} times; send it once.")
    return values[0].strip()


def _validated(name: str, value: str) -> str:
    if name not in PARAMETERS:
        raise BadRequest(f"The list has no parameter {name[:32]!r}; it knows {', '.join(PARAMETERS)}.")
    if len(value) > LONGEST:
        raise BadRequest(f"The parameter {name} is longer than {LONGEST} characters; shorten it.")
    return value


def _validate(name: str, value: str, known: tuple[str, ...]) -> None:
    if value not in known:
        raise BadRequest(f"{name} is {value[:32]!r}; choose one of {', '.join(known)}.")


def _answered(value: str) -> str:
    if value and value not in (NOBODY, ANYBODY) and not value.startswith(BY):
        raise BadRequest(f"answered is {value[:32]!r}; choose {NOBODY}, {ANYBODY}, or {BY} and a name.")
    return value
