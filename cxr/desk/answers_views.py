"""Answers as pages and programs send them."""

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from flask import Blueprint, Response, jsonify, redirect, session, url_for
from werkzeug.wrappers import Response as AnyResponse

from cxr.desk.answers import TEXT_LENGTH, WHOLE_FILM, Answer, latest, new_answer
from cxr.desk.audit import Entry
from cxr.desk.forms import fields
from cxr.desk.tables import FilmRow
from cxr.desk.views import find_film, intake, wants_json
from cxr.desk.visitors import visitor
from cxr.errors import BadRequest, NotFound

answers = Blueprint("answers", __name__)
FIELDS = ("label", "verdict", "text", "by")
LONGEST_SENT = 2 * TEXT_LENGTH  # a browser sends each line end as two characters
NAME = "answered_by"  # where the browser's session keeps the name, so that it is given once
BROWSER = "answered_from"  # and what tells it from others whose people give no name


@dataclass(frozen=True)
class Said:
    """The answers to a film as its page shows them."""

    me: Answer  # an empty one of whoever looks at the page
    all: list[Answer]

    def mine(self, label: str) -> Answer:
        return next((a for a in self.all if (a.label, a.person) == (label, self.me.person)), Answer(label))

    def others(self, label: str) -> list[Answer]:
        return [a for a in self.all if a.label == label and a.person != self.me.person]


def said_of(film: FilmRow) -> Said:
    me = _signed(Answer(WHOLE_FILM, by=session.get(NAME, "")), _browser())
    return Said(me, latest(intake().store.answers.history(film.id)))


@answers.post("/films/<film_id>/answers")
def answer(film_id: str) -> AnyResponse:
    """Of a form: the script of the page wants JSON, a browser without it the page again."""
    sent = fields(*FIELDS, longest=LONGEST_SENT)
    given = take_answer(film_id, dict(zip(FIELDS, sent, strict=True)), _browser())
    if given.person_id is None and session.get(NAME) != given.by:
        session[NAME] = given.by
    if wants_json():
        return answers_json(film_id)
    return redirect(url_for("pages.film", film_id=film_id, finding=given.label or None), 303)


@answers.post("/films/<film_id>/answered-by")
def answered_by(film_id: str) -> AnyResponse:
    """Under which name this browser answers from now on."""
    (name,) = fields("by")
    film = find_film(film_id)
    session[NAME] = new_answer(WHOLE_FILM, by=name).by
    return redirect(url_for("pages.film", film_id=film.id), 303)


def take_answer(film_id: str, sent: Mapping[str, Any], browser: str = "") -> Answer:
    """Keep an answer with the `FIELDS` that are given, unless it repeats the person's latest one.

    `browser` tells people apart who are not signed in and give no name; programs that give none are one.

    Raises:
        NotFound: no such film, or its report has no such finding.
        BadRequest: a field too many, too long, or no text.
    """
    given = _signed(new_answer(**_validate_fields(sent)), browser)
    film = find_film(film_id)
    if given.label != WHOLE_FILM:
        _validate_label(film, given.label)
    intake().store.answers.add(film_id, given, Entry(visitor().name, "answer", film_id))
    return given


def _signed(given: Answer, browser: str) -> Answer:
    """The answer as that of the account; without one as that of the typed name, else as the browser's."""
    who = visitor()
    if who.person_id is not None:
        return replace(given, by=who.name, person_id=who.person_id)
    return given if given.by else replace(given, browser=browser)


def _browser() -> str:
    return str(session.setdefault(BROWSER, secrets.token_hex(8)))


def answers_json(film_id: str) -> Response:
    history = intake().store.answers.history(find_film(film_id).id)
    return jsonify(answers=[a.to_dict() for a in latest(history)], history=[a.to_dict() for a in history])


def _validate_fields(sent: Mapping[str, Any]) -> dict[str, str]:
    stray = sorted(set(sent) - set(FIELDS))
    if stray:
        raise BadRequest(f"An answer has no field {stray[0][:32]!r}; send {', '.join(FIELDS)}.")
    wrong = [name for name, value in sent.items() if not isinstance(value, str | None)]
    if wrong:
        raise BadRequest(f"The field {wrong[0]!r} of an answer is no text; send a string, or null for none.")
    return {"label": WHOLE_FILM} | {name: value or "" for name, value in sent.items()}


def _validate_label(film: FilmRow, label: str) -> None:
    known = [finding.label for finding in film.report.restore().findings] if film.report else []
    if label not in known:
        raise NotFound(f"The film has no finding {label[:64]!r} to answer; it has {', '.join(known) or 'none at all'}.")
