"""Many films at once, named by their ids: how many, and their deletion."""

from collections.abc import Collection, Iterable
from contextlib import suppress

from flask import g

from cxr.desk.faults import DeletedInPart
from cxr.desk.views import intake
from cxr.desk.visitors import visitor
from cxr.errors import BadRequest, NotFound

MOST_CHOSEN = 1000  # more than any page shows
MOST_DELETED = 500  # in one request, so that it ends before a browser or a proxy gives up


def validate_number(film_ids: Collection[str], most: int) -> None:
    """Raises BadRequest."""
    if not 0 < len(film_ids) <= most:
        raise BadRequest(f"{len(film_ids)} films were chosen; choose some, {most} at most, or take all of the list.")


def delete_films(film_ids: Iterable[str]) -> list[str]:
    """The ids of those that were there. After a fault in the middle, the answer says that some may be gone."""
    g.halfway = DeletedInPart()
    return [film_id for film_id in film_ids if _is_deleted(film_id)]


def _is_deleted(film_id: str) -> bool:
    with suppress(NotFound):  # somebody else was faster
        intake().delete(film_id, visitor().name)
        return True
    return False
