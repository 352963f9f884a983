"""How SQLite finds what a page asks the database for."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import sqlalchemy as sa

Sent = list[tuple[str, Any]]  # statements and their parameters


@contextmanager
def selects(engine: sa.Engine) -> Iterator[Sent]:
    """What is looked up until the end of the block."""
    sent: Sent = []

    def note(_: Any, __: Any, statement: str, parameters: Any, *___: Any) -> None:
        if statement.startswith("SELECT"):
            sent.append((statement, parameters))

    sa.event.listen(engine, "before_cursor_execute", note)
    try:
        yield sent
    finally:
        sa.event.remove(engine, "before_cursor_execute", note)


def plans(engine: sa.Engine, sent: Sent) -> list[str]:
    """The plan of each statement, on one line."""
    with engine.connect() as connection:
        return [
            "; ".join(row.detail for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters))
            for statement, parameters in sent
        ]
