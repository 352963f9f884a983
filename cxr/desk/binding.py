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

NOT_MOUNTED = "is empty or not mounted, and not the one of"
PROBED = 20  # films of the database that are looked for in a storage that has no id


class NotBound(SettingError):
    """The storage of films is not that of the database."""

    def __init__(self, engine: Engine, storage: Storage, why: str) -> None:
        database = "/".join(part for part in (engine.url.host, engine.url.database) if part)
        super().__init__(
            f"The storage of films {storage.root} {why} the database {database}; opened together, films that the "
            "database does not name would be deleted. Mount the storage, or mend CXR_DATABASE_URL, CXR_STORAGE_URL or "
            "CXR_INSTANCE_PATH; if the two belong together, as after a restore, say so: python -m cxr adopt"
        )


class BoundStorage(Base):
    """One row: the id of the storage. None: no storage was opened with this database yet."""

    __tablename__ = "bound_storage"

    id: Mapped[int] = mapped_column(primary_key=True)
    token: Mapped[str] = mapped_column(String(32))


def bind(engine: Engine, storage: Storage, *, adopt: bool = False) -> None:
    """Bind the two where both are new, or were made by a version of cxr that bound none; `adopt`: in any case.

    Raises:
        NotBound: they do not belong together.
        SettingError: the storage cannot be read or written.
    """
    try:
        if storage.token() and not adopt:  # as at every start but the first, without waiting for anybody's lock
            validate_bound(engine, storage)
        else:
            storage.keep_token(_chosen_token(engine, storage, adopt))
    except OSError as error:
        raise SettingError(f"The storage of films {storage.root} cannot be used ({error.strerror}).") from error


def _chosen_token(engine: Engine, storage: Storage, adopt: bool) -> str:
    """What the storage is known by from now on. A crash before it is written there leaves one that can still be bound,
    or adopted again.

    Whoever adopts one gives it a new id, so that any other database of it is refused.
    """
    with writing(engine) as session:
        token = _token(session)
        why = "" if adopt else _strangers(session, storage, token, storage.token())
        if why:
            raise NotBound(engine, storage, why)
        token = secrets.token_hex(16) if adopt or not token else token
        session.merge(BoundStorage(id=1, token=token))
    return token


def validate_bound(engine: Engine, storage: Storage) -> None:
    """Raises NotBound when the storage was swapped or unmounted, or adopted by another database, since it was bound."""
    found = storage.token()
    with reading(engine) as session:
        if found != _token(session):
            raise NotBound(engine, storage, "belongs to another database than" if found else NOT_MOUNTED)


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
    return NOT_MOUNTED if named else ""
