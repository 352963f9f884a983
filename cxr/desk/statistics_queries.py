"""The rows behind the statistics, of one model and one period: scores, answers, and films without a report."""

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
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


def _of_period(file: ModelFile, since: float, *, by_index: bool) -> tuple[ColumnElement[bool], ...]:
    """Not `by_index`: SQLite takes the index wherever it may, and looks up one by one what it could read as it lies."""
    model, taken_at = ScoresRow.model_id, ScoresRow.taken_at
    ids = [row.id for row in file.rows]
    if by_index:
        return model.in_(ids), taken_at >= since
    return func.coalesce(model, model).in_(ids), func.coalesce(taken_at, taken_at) >= since


def _looked_at(session: Session, file: ModelFile, since: float) -> LookedAt:
    columns = ScoresRow.taken_at, ScoresRow.milliseconds, ScoresRow.refused_for, ScoresRow.scores
    chosen = select(*columns).where(*_of_period(file, since, by_index=since > 0))
    rows = session.connection().execute(chosen).all()  # as plain rows: there are many
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
    rows = (
        session.connection()
        .execute(
            select(*who, AnswerRow.verdict, ScoresRow.model_id, ScoresRow.scores)
            .join(ScoresRow, ScoresRow.film_id == AnswerRow.film_id)
            .where(AnswerRow.label != WHOLE_FILM, *_of_period(file, since, by_index=False))
            .order_by(AnswerRow.id)
        )
        .all()
    )
    latest = {row[: len(who)]: row for row in rows}  # in SQL it makes SQLite try all pairs of rows
    said = [row for row in latest.values() if row.verdict and row.scores]
    return [each for model in file.rows for each in _of_model(model, [r for r in said if r.model_id == model.id])]


def _of_model(model: ReadingModel, said: Sequence[Any]) -> list[Opinion]:
    """Of such rows, with what the model had above when it read them, by the rule of `report.findings_of`."""
    if not said:
        return []
    labels: list[str] = json.loads(model.labels)
    scores = unpacked([row.scores for row in said], len(labels))  # (N, K)
    places = np.array([labels.index(row.label) for row in said])
    if model.kind == "multiclass":
        above = scores.argmax(1) == places
    else:
        thresholds = np.array(json.loads(model.thresholds), np.float32)  # null becomes NaN, which nothing reaches
        above = scores[np.arange(len(said)), places] >= thresholds[places]
    return [Opinion(row.label, row.verdict, is_above) for row, is_above in zip(said, above.tolist(), strict=True)]


def _unread(session: Session, task: str, since: float) -> dict[str, int]:
    """State -> films of the task that have no report, whichever model file would have read them."""
    states = (*UNREAD, State.FAILED)
    wanted = FilmRow.state.in_(states), FilmRow.task == task, FilmRow.created_at >= since
    rows = session.execute(select(FilmRow.state, func.count()).where(*wanted).group_by(FilmRow.state))
    return {state: int(films) for state, films in rows}
