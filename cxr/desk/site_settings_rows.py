"""What admins set on the settings page, as the database keeps it: one row for each setting that is set."""

import json
from typing import Any

from sqlalchemy import String, select
from sqlalchemy.orm import Mapped, Session, mapped_column

from cxr.desk.tables import Base

# No settings: the weights that the urgencies in the worklist were computed with, and how often settings were changed.
NO_SETTINGS = RANKED_WITH, VERSION = "ranked_with", "version"


class SettingRow(Base):
    """One setting, which goes before the environment's."""

    __tablename__ = "site_settings"

    name: Mapped[str] = mapped_column(String(80), primary_key=True)
    value: Mapped[str]  # JSON
    changed_at: Mapped[float]


def value_of(session: Session, name: str) -> Any:
    """None where it is not set."""
    stored = session.scalar(select(SettingRow.value).where(SettingRow.name == name))
    return None if stored is None else json.loads(stored)


def set_value(session: Session, name: str, value: Any, now: float) -> None:
    """Set it; None takes it back."""
    row = session.get(SettingRow, name)
    if value is None:
        if row is not None:
            session.delete(row)
        return
    session.merge(SettingRow(name=name, value=json.dumps(value), changed_at=now))


def version_of(session: Session) -> int:
    """How often settings were changed."""
    return int(value_of(session, VERSION) or 0)


def count_up(session: Session, now: float) -> int:
    """The version of a change, whose transaction holds the desk's lock."""
    version = version_of(session) + 1
    set_value(session, VERSION, version, now)
    return version
