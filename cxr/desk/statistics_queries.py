"""The rows behind the statistics, of one model and one period: scores, answers, and films without a report."""

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import ColumnElement, Engine, func, select
from sqlalchemy.orm import Session

from cxr.desk.answers import WHOLE_FILM
from cxr.desk.scores import ReadingModel, ScoresRow, unpacked
from cxr.desk.statistics import DAY_S, PERIODS, Figures, LookedAt, Opinion, findings, reading_time, refusals, volume
from cxr.desk.statistics_drift import references
from cxr.desk.tables import UNREAD, AnswerRow, FilmRow, State, reading
from cxr.errors import NotFound
from cxr.modelfile import ModelInfo

KEY_DIGITS = 12  # of the SHA-256, in a key


@dataclass(frozen=True)
class ModelFile:
    """A model file as it read films for a task, with the calibration that it had."""

    task: str
    sha256: str
    calibration: str  # date of the site's own; empty: the model's
    name: str
    rows: tuple[ReadingModel, ...]  # one for each set of operating points that was in use

    @property
    def key(self) -> str:
        """`chestxray14:838b3bd38076`, and the date of a site's calibration after it: what addresses say."""
        parts = self.task, self.sha256[:KEY_DIGITS], self.calibration
        return ":".join(part for part in parts if part)

    @property
    def labels(self) -> tuple[str, ...]:
        told: list[list[str]] = [json.loads(row.labels) for row in self.rows]
        longest = max(told, key=len)  # of refused films alone none are known
        return tuple(longest)


@dataclass(frozen=True)
class Counted:
    """The figures, and what they are of."""

    model: ModelFile
    days: str  # key of PERIODS
    since: float  # seconds since 1970; 0: all films
    served: bool  # whether this very file reads films now, so that its calibration sample is known
    figures: Figures


def model_files(engine: Engine) -> list[ModelFile]:
    """All that ever read a film here, the newest of each task first."""
    with reading(engine) as session:
        rows = session.scalars(select(ReadingModel).order_by(ReadingModel.task, ReadingModel.id.desc())).all()
    grouped = dict[tuple[str, str, str], list[ReadingModel]]()
    for row in rows:
        grouped.setdefault((row.task, row.sha256, row.calibration), []).append(row)
    return [ModelFile(*identity, group[0].name, tuple(group)) for identity, group in grouped.items()]


def chosen_file(files: Sequence[ModelFile], key: str, default_task: str) -> ModelFile | None:
    """Of a key, or of a task, whose newest it is; without one of the default task, or of any. None: no film was read.

    Raises NotFound for a key that is none.
    """
    if key:
        found = [file for file in files if key in (file.key, file.task)]
        if not found:
            raise NotFound(f"No film was read by the model {key[:80]!r}; leave it out, or take a key of the list.")
        return found[0]
    return next((file for file in files if file.task == default_task), next(iter(files), None))


def count(engine: Engine, file: ModelFile, days: str, info: ModelInfo | None) -> Counted:
    """`info`: what the model file says, where it is served now."""
    now = time.time()
    since = (now // DAY_S - PERIODS[days] + 1) * DAY_S if PERIODS[days] else 0.0  # whole days of UTC, today among them
    with reading(engine) as session:
        seen = _looked_at(session, file, since)
        opinions = _opinions(session, file, since)
        unread = _unread(session, file.task, since)
    figures = Figures(
        volume(seen, since, now, unread),
        refusals(seen),
        reading_time(seen),
        findings(seen, info.operating_points if info else {}, references(info, seen.labels), opinions),
    )
    return Counted(file, days, since, info is not None, figures)


def _of_period(file: ModelFile, since: float) -> tuple[ColumnElement[bool], ...]:
    ids = [row.id for row in file.rows]
    return ScoresRow.model_id.in_(ids), ScoresRow.taken_at >= since


def _looked_at(session: Session, file: ModelFile, since: float) -> LookedAt:
    columns = ScoresRow.taken_at, ScoresRow.milliseconds, ScoresRow.refused_for, ScoresRow.scores
    rows = session.execute(select(*columns).where(*_of_period(file, since))).all()
    taken, milliseconds, refused_for, packed = zip(*rows, strict=True) if rows else ((), (), (), ())
    return LookedAt(
        np.array(taken, np.float64),
        np.array(milliseconds, np.float64),  # None becomes NaN
        tuple(refused_for),
        np.array([bool(scores) for scores in packed], bool),
        unpacked([scores for scores in packed if scores], len(file.labels)),
        file.labels,
    )


def _opinions(session: Session, file: ModelFile, since: float) -> list[Opinion]:
    """The latest answer of each person to each finding, if it has a verdict."""
    who = AnswerRow.film_id, AnswerRow.label, AnswerRow.person_id, AnswerRow.by, AnswerRow.browser
    rows = session.execute(
        select(*who, AnswerRow.verdict, ScoresRow.model_id, ScoresRow.scores)
        .join(ScoresRow, ScoresRow.film_id == AnswerRow.film_id)
        .where(AnswerRow.label != WHOLE_FILM, *_of_period(file, since))
        .order_by(AnswerRow.id)
    )
    above = {model.id: _Above(model) for model in file.rows}
    latest = {row[: len(who)]: row for row in rows}  # in SQL it makes SQLite try all pairs of rows
    said = [row for row in latest.values() if row.verdict and row.scores]
    return [Opinion(row.label, row.verdict, above[row.model_id](row.label, row.scores)) for row in said]


class _Above:
    """Which findings of a film a model had above when it read it, by the rule of `report.findings_of`."""

    def __init__(self, model: ReadingModel):
        labels, thresholds = json.loads(model.labels), json.loads(model.thresholds)
        self._places = {label: place for place, label in enumerate(labels)}
        self._thresholds: list[float | None] = thresholds
        self._multiclass = model.kind == "multiclass"

    def __call__(self, label: str, packed: bytes) -> bool:
        scores, place = unpacked([packed], len(self._places))[0], self._places[label]
        threshold = self._thresholds[place]
        if self._multiclass:
            return place == int(scores.argmax())
        return threshold is not None and _reaches(scores, place, threshold)


def _reaches(scores: NDArray[np.float32], place: int, threshold: float) -> bool:
    return bool(scores[place] >= np.float32(threshold))


def _unread(session: Session, task: str, since: float) -> dict[str, int]:
    """State -> films of the task that have no report, whichever model file would have read them."""
    states = (*UNREAD, State.FAILED)
    wanted = FilmRow.state.in_(states), FilmRow.task == task, FilmRow.created_at >= since
    rows = session.execute(select(FilmRow.state, func.count()).where(*wanted).group_by(FilmRow.state))
    return {state: int(films) for state, films in rows}
