"""The settings that admins make in the desk itself. They stand in the database and go before the environment's.

Every process looks for changes when it is asked for a setting and its last look is FRESH_S old, so a change holds in
all of them within that time. Each change counts the version up, so that none is missed whatever the clocks say. Reports
that are stored keep the operating points and calibration they were read with.
"""

import json
import logging
import sqlite3
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any

from sqlalchemy import Engine, select
from sqlalchemy.exc import SQLAlchemyError

from cxr.desk.site_settings_rows import NO_SETTINGS, SettingRow, count_up, set_value, version_of
from cxr.desk.tables import reading, writing
from cxr.desk.worklist_urgency import DEFAULT_WEIGHTS, WEIGHTS, rank_all
from cxr.errors import SettingError
from cxr.reading.readers import Readers
from cxr.reading.site import SiteCalibration
from cxr.settings import Settings

FRESH_S = 2.0
TASK, POINTS, DAYS, THEME = "default_task", "operating_point", "keep_days", "theme"
CALIBRATION = "calibration:"  # before the name of its task
SYSTEM = "system"  # the theme that the browser prefers

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class InForce:
    """The settings that hold now."""

    stored: Mapping[str, Any]  # what the database has, by name
    readers: Readers
    operating_point: str
    keep_days: int
    theme: str = SYSTEM
    weights: Mapping[str, int] = field(default_factory=lambda: DEFAULT_WEIGHTS)
    trouble: str = ""  # why stored settings are passed over

    @property
    def calibrations(self) -> dict[str, SiteCalibration]:
        """Those of the database, by task; without one that this version cannot read."""
        with suppress(SettingError):
            return calibrations_in(self.stored)
        return {}

    def value(self, name: str) -> Any:
        """What holds of a setting, whoever set it."""
        values = {
            TASK: self.readers.default, POINTS: self.operating_point, DAYS: self.keep_days, THEME: self.theme,
            WEIGHTS: dict(self.weights),
        }  # fmt: skip
        return values[name] if name in values else self.stored.get(name)


class SiteSettings:
    """Safe to share among threads; one for each process."""

    def __init__(self, engine: Engine, settings: Settings, readers: Readers) -> None:
        """`settings` and `readers`: those of the environment."""
        self._engine, self._settings, self._readers = engine, settings, readers
        self._lock = threading.Lock()  # never held over a transaction, which may have to wait
        self._looked_at = time.monotonic()
        with writing(engine) as session:
            rank_all(session)  # a database of an older version, or weights that this version changed
            self._version, stored = version_of(session), _stored(session)
        self._now = self._usable(stored)

    @property
    def now(self) -> InForce:
        """What holds; what held last where the database does not answer."""
        if time.monotonic() - self._looked_at >= FRESH_S:
            self._looked_at = time.monotonic()  # whoever asks meanwhile does not wait for this look
            self._look()
        return self._now

    @property
    def environment(self) -> InForce:
        """What holds of settings that nobody made here."""
        return self._made({})

    @property
    def keep_days(self) -> int:
        """As the database says at this moment: by what held last films might be deleted that are to be kept.

        Raises SQLAlchemyError where it does not answer.
        """
        return keep_days(self._engine, self._settings)

    def change(self, values: Mapping[str, Any]) -> InForce:
        """Set these; None takes a setting back to the environment's. Returns what held before.

        Weights that change rank all films anew, in the same transaction.

        Raises SettingError, and nothing is changed, when they do not go with the models here.
        """
        with writing(self._engine) as session:
            before = self._usable(_stored(session))
            if not before.trouble:  # else nothing could be changed before what is passed over was taken out
                self._made(_without_none({**_stored(session), **values}))
            now = time.time()
            for name, value in values.items():
                set_value(session, name, value, now)
            rank_all(session)
            version, stored = count_up(session, now), _stored(session)
        self._hold(version, stored)
        return before

    def _look(self) -> None:
        try:
            with reading(self._engine) as session:
                version, stored = version_of(session), _stored(session)
        except (SQLAlchemyError, sqlite3.Error):
            log.warning("the settings in the database cannot be looked at; the last ones hold")
        else:
            self._hold(version, stored)

    def _hold(self, version: int, stored: dict[str, Any]) -> None:
        """Unless a later version holds already."""
        with self._lock:
            if version > self._version:
                self._now, self._version = self._usable(stored), version

    def _usable(self, stored: dict[str, Any]) -> InForce:
        """A desk with other models than those that the settings were made for starts all the same."""
        try:
            return self._made(stored)
        except SettingError as error:
            log.warning("settings of the database are passed over: %s", error)
            harmless = {name: value for name, value in stored.items() if name in (DAYS, THEME, WEIGHTS)}
            return replace(self._made(harmless), stored=stored, trouble=str(error))

    def _made(self, stored: dict[str, Any]) -> InForce:
        """Raises SettingError."""
        points = stored.get(POINTS, self._settings.operating_point)
        sites = calibrations_in(stored)
        wanted = stored.get(TASK, self._readers.default)
        same = not sites and (points, wanted) == (self._settings.operating_point, self._readers.default)
        return InForce(
            stored,
            self._readers if same else self._readers.adjusted(wanted, points, sites),
            points,
            stored.get(DAYS, self._settings.keep_days),
            stored.get(THEME, SYSTEM),
            DEFAULT_WEIGHTS | stored.get(WEIGHTS, {}),
        )


def keep_days(engine: Engine, settings: Settings) -> int:
    """For commands, which need no models."""
    with reading(engine) as session:
        return int(_stored(session).get(DAYS, settings.keep_days))


def calibrations_in(stored: Mapping[str, Any]) -> dict[str, SiteCalibration]:
    texts = {n.removeprefix(CALIBRATION): text for n, text in stored.items() if n.startswith(CALIBRATION)}
    return {task: SiteCalibration.restore(text, f"The calibration of {task}") for task, text in texts.items()}


def _stored(session: Any) -> dict[str, Any]:
    rows = session.execute(select(SettingRow.name, SettingRow.value).where(SettingRow.name.not_in(NO_SETTINGS)))
    return {name: json.loads(value) for name, value in rows}


def _without_none(values: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}
