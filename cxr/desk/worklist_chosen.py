"""Many films at once, named by their ids or by a list: how many, and their deletion."""

from collections.abc import Collection, Iterable
from contextlib import suppress
from dataclasses import replace
from math import isfinite

from flask import g

from cxr.desk.faults import DeletedInPart
from cxr.desk.views import intake
from cxr.desk.visitors import visitor
from cxr.desk.worklist import Wanted
from cxr.errors import BadRequest, NotFound

MOST_CHOSEN = 1000  # more than any page shows
MOST_DELETED = 500  # in one request, so that it ends before a browser or a proxy gives up


def validate_number(film_ids: Collection[str], most: int) -> None:
    """Raises BadRequest."""
    if not 0 < len(film_ids) <= most:
        raise BadRequest(f"{len(film_ids)} films were chosen; choose some, {most} at most, or take all of the list.")


def taken_in_before(text: str, wanted: Wanted, remedy: str) -> Wanted:
    """`wanted` without the films of that moment (seconds since 1970) and later: whoever asked did not know of them.

    Raises BadRequest, which ends with `remedy`.
    """
    with suppress(ValueError):
        if isfinite(moment := float(text)):
            return replace(wanted, until=moment if wanted.until is None else min(moment, wanted.until))
    raise BadRequest(f"It is not said when the list was looked at; {remedy}")


def delete_listed(wanted: Wanted) -> list[str]:
    """The first MOST_DELETED films of a list; the ids of those that were there."""
    return delete_films(intake().store.worklist.ids(wanted, MOST_DELETED))


def delete_films(film_ids: Iterable[str]) -> list[str]:
    """The ids of those that were there. After a fault in the middle, the answer says that some may be gone."""
    g.halfway = DeletedInPart()
    return [film_id for film_id in film_ids if _is_deleted(film_id)]


def _is_deleted(film_id: str) -> bool:
    with suppress(NotFound):  # somebody else was faster
        intake().delete(film_id, visitor().name)
        return True
    return False
