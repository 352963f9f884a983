"""A desk with many films that were read: copies of one, each with scores of its own, without pixels."""

import secrets
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
from sqlalchemy import Engine, insert, select

from cxr.desk.scores import SCORE, ScoresRow, unpacked
from cxr.desk.tables import AnswerRow, FilmRow, ReportRow, reading, writing

YEAR_S = 365 * 86_400
CHUNK = 5000
SPREAD = 1.0  # of the copies' log odds around those of the one film
VERDICTS = ("agree", "agree", "agree", "disagree", "unsure")


def copy_film(engine: Engine, films: int, answers: int, labels: tuple[str, ...], within_s: float = YEAR_S) -> None:
    """Copies of the one film of a desk, as if taken in at any moment `within_s`; so many of them are answered."""
    rng = np.random.default_rng(0)
    with reading(engine) as session:
        film, report, scores = (_columns(session.scalars(select(t)).one()) for t in (FilmRow, ReportRow, ScoresRow))
    own = unpacked([scores["scores"]], len(labels))[0].astype(np.float64)
    for start in range(0, films, CHUNK):
        copies = list(_copies(rng, own, min(CHUNK, films - start), within_s))
        said = [i for i, _, _ in copies[: answers * len(copies) // films]]
        drawn = [{"film_id": i, "taken_at": at, "scores": packed} for i, at, packed in copies]
        with writing(engine) as session:
            session.execute(insert(FilmRow), [film | {"id": i, "created_at": at} for i, at, _ in copies])
            session.execute(insert(ReportRow), [report | {"film_id": i} for i, _, _ in copies])
            session.execute(insert(ScoresRow), [scores | each for each in drawn])
            if said:
                session.execute(insert(AnswerRow), list(_answers(said, labels)))


def _copies(
    rng: np.random.Generator, own: np.ndarray[Any, Any], count: int, within_s: float
) -> Iterator[tuple[str, float, bytes]]:
    """(film id, taken in at, scores)."""
    moments = time.time() - rng.random(count) * within_s
    odds = np.log(own / (1 - own)) + SPREAD * rng.standard_normal((count, len(own)))
    for moment, scores in zip(moments.tolist(), (1 / (1 + np.exp(-odds))).astype(SCORE), strict=True):
        yield secrets.token_hex(10), moment, scores.tobytes()


def _answers(films: list[str], labels: tuple[str, ...]) -> Iterator[dict[str, object]]:
    for number, film in enumerate(films):
        label, verdict = labels[number % len(labels)], VERDICTS[number % len(VERDICTS)]
        yield {"film_id": film, "label": label, "verdict": verdict, "text": "", "by": "a", "at": 0.0}


def _columns(row: FilmRow | ReportRow | ScoresRow) -> dict[str, Any]:
    return {column.key: getattr(row, column.key) for column in row.__table__.columns}
