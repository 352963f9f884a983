"""The scores of each film in narrow rows, for statistics; those of older films are taken from their reports."""

import json
import struct
from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"

CHUNK = 500  # reports in memory at once

REPORTS = sa.text(
    "SELECT r.film_id, r.json, f.created_at FROM reports r JOIN films f ON f.id = r.film_id "
    "WHERE r.film_id > :last ORDER BY r.film_id LIMIT :chunk"
)


def upgrade() -> None:
    models, scores = _tables()
    connection, known, last = op.get_bind(), dict[tuple[str, ...], int](), ""
    while rows := connection.execute(REPORTS, {"last": last, "chunk": CHUNK}).all():
        last = rows[-1].film_id
        reports = [(row, report) for row in rows if "findings" in (report := json.loads(row.json))]
        made = [_scores(connection, models, known, row, report) for row, report in reports]
        if made:
            connection.execute(scores.insert(), made)


def _tables() -> tuple[sa.Table, sa.Table]:
    models = op.create_table(
        "reading_models",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("task", sa.String(64), nullable=False),
        sa.Column("sha256", sa.String(64), nullable=False),
        sa.Column("calibration", sa.String(32), nullable=False),
        sa.Column("operating_points", sa.String(32), nullable=False),
        sa.Column("name", sa.String(200), nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("labels", sa.String, nullable=False),
        sa.Column("thresholds", sa.String, nullable=False),
        sa.UniqueConstraint("task", "sha256", "calibration", "operating_points"),
    )
    scores = op.create_table(
        "scores",
        sa.Column("film_id", sa.String(32), sa.ForeignKey("reports.film_id", ondelete="CASCADE"), primary_key=True),
        sa.Column("model_id", sa.Integer, sa.ForeignKey("reading_models.id"), nullable=False),
        sa.Column("taken_at", sa.Double, nullable=False),
        sa.Column("milliseconds", sa.Double),
        sa.Column("refused_for", sa.String, nullable=False),
        sa.Column("scores", sa.LargeBinary, nullable=False),
    )
    op.create_index("scores_of_model", "scores", ["model_id", "taken_at"])
    return models, scores


def _scores(
    connection: sa.Connection,
    models: sa.Table,
    known: dict[tuple[str, ...], int],
    row: sa.Row[Any],
    report: dict[str, Any],
) -> dict[str, Any]:
    refusals = [reason["code"] for reason in report["check"]["reasons"] if reason["severity"] == "refuse"]
    probabilities = [finding["probability"] for finding in report["findings"]]
    times = report["milliseconds"].values()
    return {
        "film_id": row.film_id,
        "model_id": _model_id(connection, models, known, report),
        "taken_at": row.created_at,
        "milliseconds": sum(times) if times else None,
        "refused_for": " ".join(dict.fromkeys(refusals)),
        "scores": struct.pack(f"<{len(probabilities)}f", *probabilities),
    }


def _model_id(
    connection: sa.Connection, models: sa.Table, known: dict[tuple[str, ...], int], report: dict[str, Any]
) -> int:
    """Of the row of the report's model, made when it comes first; its findings are told by the first film read."""
    model, findings = report["model"], report["findings"]
    calibration = (model.get("calibration") or {}).get("date", "")
    key = (model["task"], model["sha256"], calibration, model["operating_points"])
    told = {
        "labels": json.dumps([finding["label"] for finding in findings]),
        "thresholds": json.dumps([(finding["operating_point"] or {}).get("threshold") for finding in findings]),
    }
    if key not in known:
        identity = dict(zip(("task", "sha256", "calibration", "operating_points"), key, strict=True))
        identity |= {"name": model["name"], "kind": model.get("kind", "multilabel")}
        known[key] = connection.execute(models.insert().returning(models.c.id), identity | told).scalar_one()
    elif findings:
        untold = (models.c.id == known[key]) & (models.c.labels == "[]")
        connection.execute(models.update().where(untold).values(told))
    return known[key]
