"""The scores of each film that was looked at, in rows so narrow that statistics over many films read no report.

They are written with the report and go with it, so that figures are always those of the films that are kept.
"""

import json
from contextlib import suppress

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import ForeignKey, Index, LargeBinary, String, UniqueConstraint, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Mapped, Session, mapped_column

from cxr.desk.tables import Base
from cxr.reading.report import Report

SCORE = np.dtype("<f4")  # of one finding in `ScoresRow.scores`


class ReadingModel(Base):
    """A model as it read films: its file, whose calibration, and by which operating points findings were above."""

    __tablename__ = "reading_models"
    __table_args__ = (UniqueConstraint("task", "sha256", "calibration", "operating_points"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    task: Mapped[str] = mapped_column(String(64))
    sha256: Mapped[str] = mapped_column(String(64))
    calibration: Mapped[str] = mapped_column(String(32))  # date of the site's own; empty: the model's
    operating_points: Mapped[str] = mapped_column(String(32))  # name of the set
    name: Mapped[str] = mapped_column(String(200))
    kind: Mapped[str] = mapped_column(String(16))
    labels: Mapped[str]  # JSON: the findings, in the order of the scores
    thresholds: Mapped[str]  # JSON: of each finding; null where it has no operating point


class ScoresRow(Base):
    """One film that was looked at. It goes with the report."""

    __tablename__ = "scores"
    __table_args__ = (Index("scores_of_model", "model_id", "taken_at"),)

    film_id: Mapped[str] = mapped_column(ForeignKey("reports.film_id", ondelete="CASCADE"), primary_key=True)
    model_id: Mapped[int] = mapped_column(ForeignKey("reading_models.id"))
    taken_at: Mapped[float]  # FilmRow.created_at
    milliseconds: Mapped[float | None]  # from decoded film to findings; None: reports that do not say it
    refused_for: Mapped[str]  # codes of the film check, separated by spaces; empty: accepted
    scores: Mapped[bytes] = mapped_column(LargeBinary)  # (K,) float32 probabilities; empty: refused and not read


def keep_scores(session: Session, film_id: str, taken_at: float, report: Report) -> None:
    """Beside the report that was just stored, in the same transaction. `taken_at`: FilmRow.created_at."""
    session.flush()
    session.add(ScoresRow(
        film_id=film_id,
        model_id=_model_id(session, report),
        taken_at=taken_at,
        milliseconds=sum(report.milliseconds.values()) if report.milliseconds else None,
        refused_for=" ".join(dict.fromkeys(reason.code for reason in report.check.refusals)),
        scores=np.array([f.probability for f in report.findings], SCORE).tobytes(),
    ))  # fmt: skip


def unpacked(packed: list[bytes], count: int) -> NDArray[np.float32]:
    """Scores of N films that were read -> (N, K) float32, with K = `count`."""
    return np.frombuffer(b"".join(packed), SCORE).reshape(len(packed), count)


def _model_id(session: Session, report: Report) -> int:
    """Of the model's row, made when it reads its first film; a refused film does not tell its findings."""
    model = report.model
    identity = {
        "task": model.task,
        "sha256": model.sha256,
        "calibration": model.calibration.date if model.calibration else "",
        "operating_points": model.operating_points,
    }
    wanted = select(ReadingModel).filter_by(**identity)
    row = session.scalar(wanted)
    if row is None:
        with suppress(IntegrityError), session.begin_nested():  # another process may make it at the same moment
            session.add(ReadingModel(**identity, name=model.name, kind=model.kind, labels="[]", thresholds="[]"))
        row = session.scalars(wanted).one()
    if report.findings and row.labels == "[]":
        points = [f.operating_point for f in report.findings]
        row.labels = json.dumps([f.label for f in report.findings])
        row.thresholds = json.dumps([point and point.threshold for point in points])
    return row.id
