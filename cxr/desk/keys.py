"""The keys by which an upload is known when it is sent again, after a lost connection or by a double click."""

from sqlalchemy import select
from sqlalchemy.orm import Session

from cxr.desk.tables import FilmRow, UploadKey
from cxr.errors import CxrError


class KeyReused(CxrError):
    """The key of a repeated upload came with something else."""

    status = 422

    def __init__(self) -> None:
        super().__init__("The Idempotency-Key was sent before with another film or task; make a new one for each film.")


class SentBefore(Exception):
    """The film was taken in before, by an upload with the same key."""

    def __init__(self, film_id: str) -> None:
        super().__init__(film_id)
        self.film_id = film_id


def is_known(session: Session, key: str) -> bool:
    """Whether a film was taken in with this key, this one or another."""
    return session.get(UploadKey, key) is not None


def add_film(session: Session, row: FilmRow, key: str) -> None:
    """Add a film, and its key if it has one. Under the write lock, so that two uploads at once store one film.

    Raises:
        SentBefore, KeyReused: a film with this key is here already; it is this one, or another.
    """
    known = session.scalar(select(FilmRow).join(UploadKey).where(UploadKey.key == key)) if key else None
    if known is not None:
        same = (known.sha256, known.task) == (row.sha256, row.task)
        raise SentBefore(known.id) if same else KeyReused
    session.add(row)
    session.flush()
    if key:
        session.add(UploadKey(key=key, film_id=row.id))
