"""The fields of a form, or of a program's JSON, each there once and none that nobody asked for."""

import json
from collections.abc import Collection, Mapping
from typing import Any

from flask import request

from cxr.desk.people_tables import Role
from cxr.errors import BadRequest

CSRF_TOKEN = "csrf_token"  # checked by `door`, before a form is looked at here
LONGEST_FIELD = 1024
KINDS = {str: "text", int: "whole number", bool: "true or false", list: "list"}  # of fields in JSON, in words


def fields(
    *names: str, many: tuple[str, ...] = (), files: tuple[str, ...] = (), longest: int = LONGEST_FIELD
) -> tuple[str, ...]:
    """The values of a form that has just these fields, each once.

    Fields of `many` may be there as well, any number of times, and files of `files`. Raises BadRequest.
    """
    if set(request.form) - {*names, *many, CSRF_TOKEN} or set(request.files) - set(files):
        raise BadRequest("The form has a field that was not asked for; send it from the desk's own pages.")
    validate_once(but=many)
    return tuple(_value(name, longest) for name in names)


def validate_once(but: Collection[str] = ()) -> None:
    """Raises BadRequest for a field that the form has several times; those of `but` may be."""
    for name, values in request.form.lists():
        if len(values) > 1 and name not in but:
            raise BadRequest(f"The form has the field {name} {len(values)} times; send it once.")


def json_fields(defaults: Mapping[str, Any] | None = None, **kinds: type) -> tuple[Any, ...]:
    """The values of a JSON object that has just these fields, each of its kind. Raises BadRequest.

    Those of `defaults` may be left out.
    """
    optional, sent = defaults or {}, request.get_json(silent=True)
    if not isinstance(sent, dict) or not set(kinds) - set(optional) <= set(sent) <= set(kinds):
        named = ", ".join(f"{name} (may be left out)" if name in optional else name for name in kinds)
        raise BadRequest(f"Send a JSON object with just these fields: {named}.")
    sent = {**optional, **sent}
    for name, kind in kinds.items():
        if type(sent[name]) is not kind:
            raise BadRequest(f"The field {name} is no {KINDS[kind]}.")
    _validate_encodable(list(sent.values()))
    return tuple(sent[name] for name in kinds)


def _validate_encodable(value: Any) -> None:
    """JSON may hold half a character (a lone surrogate), which no database and no hash takes."""
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise BadRequest("A field holds half a character (a lone surrogate); send whole ones.") from None


def role(text: str) -> Role:
    """Raises BadRequest."""
    if text not in list(Role):
        raise BadRequest(f"{text[:32]!r} is no role; choose {' or '.join(Role)}.")
    return Role(text)


def count(name: str, text: str) -> int:
    """A whole number. Raises BadRequest."""
    if not text.isascii() or not text.isdecimal() or len(text) > 9:
        raise BadRequest(f"{name} is no whole number; write one with digits alone.")
    return int(text)


def same(first: str, second: str) -> str:
    """A new password, typed twice. Raises BadRequest."""
    if first != second:
        raise BadRequest("The two new passwords differ; type the same twice.")
    return first


def _value(name: str, longest: int) -> str:
    value = request.form.get(name)
    if value is None:
        raise BadRequest(f"The form lacks the field {name}; send it from the desk's own pages.")
    if len(value) > longest:
        raise BadRequest(f"The field {name} is longer than {longest} characters; shorten it.")
    return value


def validate_parameters(subject: str, known: Collection[str]) -> None:
    """Raises BadRequest for a parameter of the address that is misspelt or there twice. `subject`: "The log takes"."""
    for name, values in request.args.lists():
        if name not in known or len(values) != 1:
            raise BadRequest(f"{subject} {', '.join(known)}, each once; {name[:32]!r} is too much.")
