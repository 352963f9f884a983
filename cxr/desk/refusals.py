"""Why files of an upload were not taken in, remembered for an hour."""

import time

from sqlalchemy import Engine, delete, select
from sqlalchemy.orm import Session

from cxr.desk.tables import Refusal, reading, writing

KEPT_S = 3600


def add_refusals(engine: Engine, upload: str, refusals: list[tuple[str, str]]) -> None:
    """Remember why files of an upload, as (name, sentence), were refused."""
    now = time.time()
    with writing(engine) as session:
        session.execute(delete(Refusal).where(Refusal.upload == upload))  # a repeated upload tells them once
        session.add_all(Refusal(upload=upload, name=n, sentence=s, created_at=now) for n, s in refusals)


def refusals_of(engine: Engine, upload: str) -> list[Refusal]:
    with reading(engine) as session:
        return list(session.scalars(select(Refusal).where(Refusal.upload == upload).order_by(Refusal.id)))


def forget_refusals(session: Session) -> None:
    session.execute(delete(Refusal).where(Refusal.created_at < time.time() - KEPT_S))
