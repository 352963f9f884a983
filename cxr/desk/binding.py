"""A storage of films and its database belong together, which a random id in both says.

Bytes that the database does not name are swept away as leftovers, so a storage that is opened with another database,
be it a new, a restored or a mistyped one, would be emptied within two days. Such a pair is refused.
"""

import secrets
from math import inf

from sqlalchemy import Engine, String, select
from sqlalchemy.orm import Mapped, Session, mapped_column

from cxr.desk.storage import Storage
from cxr.desk.tables import Base, FilmRow, reading, writing
from cxr.errors import SettingError

PROBED = 20  # films of the database that are looked for in a storage that has no id


class NotBound(SettingError):
    """The storage of films is not that of the database."""

    def __init__(self, engine: Engine, storage: Storage, why: str) -> None:
        database = "/".join(part for part in (engine.url.host, engine.url.database) if part)
        super().__init__(
            f"The storage of films {storage.root} {why} the database {database}, which would delete the films that it "
            "does not name. Mend CXR_DATABASE_URL, CXR_STORAGE_URL or CXR_INSTANCE_PATH; if the two belong together, "
            "as after a restore, say so: python -m cxr adopt"
        )


class BoundStorage(Base):
    """One row: the id of the storage. None: no storage was opened with this database yet."""

    __tablename__ = "bound_storage"

    id: Mapped[int] = mapped_column(primary_key=True)
    token: Mapped[str] = mapped_column(String(32))


def bind(engine: Engine, storage: Storage, *, adopt: bool = False) -> None:
    """Bind the two where both are new, or were made by a version of cxr that bound none; `adopt`: in any case.

    Raises NotBound.
    """
    with writing(engine) as session:
        token, found = _token(session), storage.token()
        if adopt:  # under a new id, so that any other database of this storage is refused from now on
            token = ""
        elif why := _strangers(session, storage, token, found):
            raise NotBound(engine, storage, why)
        elif found:
            return
        token = token or secrets.token_hex(16)
        session.merge(BoundStorage(id=1, token=token))
    storage.keep_token(token)  # after the commit: a crash in between leaves a storage without id, which can be bound


def validate_bound(engine: Engine, storage: Storage) -> None:
    """Raises NotBound when the storage was swapped or unmounted, or adopted by another database, since the start."""
    with reading(engine) as session:
        if why := _strangers(session, storage, _token(session), storage.token()):
            raise NotBound(engine, storage, why)


def _token(session: Session) -> str:
    return session.scalar(select(BoundStorage.token)) or ""


def _strangers(session: Session, storage: Storage, token: str, found: str) -> str:
    """Why the two do not belong together; empty where they do, or may."""
    if found:
        return "" if found == token else "belongs to another database than"
    named = session.scalars(select(FilmRow.sha256).order_by(FilmRow.created_at.desc()).limit(PROBED)).all()
    if any(storage.is_older(sha256, inf) for sha256 in named):
        return ""
    if not storage.is_empty():
        return "holds films, and none of those of"
    return "is empty or not mounted, and not the one of" if token and named else ""
