"""What the desk asks of PostgreSQL: locks by name, the server's clock, and an end to what a dead host left open."""

from collections.abc import Iterable
from importlib.util import find_spec

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError

from cxr.errors import SettingError

DRIVERS = ("postgresql", "postgresql+psycopg")
# A server that vanished without a word is given up after 45 s, in the middle of a query too. libpq, Parameter Key Words
CLIENT_SETTINGS = {
    "connect_timeout": "5",
    "keepalives": "1",
    "keepalives_idle": "30",
    "keepalives_interval": "5",
    "keepalives_count": "3",
    "tcp_user_timeout": "45000",
}
# A writer waits as long as with SQLite. A host that loses its power keeps its locks until the server notices.
SERVER_SETTINGS = {
    "lock_timeout": "30s",
    "idle_in_transaction_session_timeout": "120s",
    "tcp_keepalives_idle": "20",
    "tcp_keepalives_interval": "5",
    "tcp_keepalives_count": "3",
}


def validate(url: sa.URL) -> None:
    """Raises SettingError for another driver, without the driver's package, or when no database is named."""
    if url.drivername not in DRIVERS or not url.database:
        raise SettingError(
            "CXR_DATABASE_URL does not name a database of PostgreSQL; write postgresql+psycopg://USER:PASSWORD@HOST/NAME."
        )
    if not find_spec("psycopg"):
        raise SettingError("CXR_DATABASE_URL needs the package psycopg; pip install -r requirements-many.txt.")


def connect(url: sa.URL) -> sa.Engine:
    """What the URL itself sets goes before what is set here."""
    own = " ".join(f"-c {name}={value}" for name, value in SERVER_SETTINGS.items())
    options = " ".join([own, *url.normalized_query.get("options", ())])  # of two values the server takes the last
    client = {name: value for name, value in CLIENT_SETTINGS.items() if name not in url.query}
    return sa.create_engine(
        url.set(drivername="postgresql+psycopg"),
        hide_parameters=True,  # logged errors must not carry file names
        pool_pre_ping=True,  # the server may have been started anew since
        connect_args={**client, "options": options},
    )


def lock(connection: sa.Connection, names: Iterable[str], *, shared: bool = False) -> None:
    """Wait for locks that the end of the transaction gives back, in the order given."""
    take = sa.func.pg_advisory_xact_lock_shared if shared else sa.func.pg_advisory_xact_lock
    for name in names:
        connection.execute(sa.select(take(sa.func.hashtextextended(name, 0))))


def clock() -> sa.ColumnElement[float]:
    """Now, in seconds since 1970: the server's clock, since hosts disagree about leases if their own differ."""
    return sa.cast(sa.extract("epoch", sa.func.statement_timestamp()), sa.Double)


def cause(error: Exception, url: sa.URL) -> str:
    """The first line of what the server or its library says, without the password."""
    said = str(error.orig) if isinstance(error, DBAPIError) else "its URL has a part that PostgreSQL does not know"
    first = said.strip().splitlines()[0]
    return first.replace(url.password, "***") if url.password else first


def keep_room(_: sa.Engine) -> None:
    """Nothing: the server's disk is its own."""


def make_room(_: sa.Engine) -> bool:
    return False


def scrub(_: sa.Engine) -> bool:
    """Nothing: the space of what was deleted is cleared by the server's own VACUUM; docs/many-desks.md."""
    return True
