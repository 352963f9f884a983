"""The worklist, what it filters and sorts by, searches, and the settings that a site makes in the desk itself."""

import json
import math
import secrets
from typing import Any
from unicodedata import normalize

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"

CHUNK = 500  # reports in memory at once
HEALTHY = ("normal", "No_Finding")


def upgrade() -> None:
    _worklist()
    _beside_it()
    _settings()
    connection = op.get_bind()
    _fill_films(connection)
    _fill_findings(connection)
    _fill_answers(connection)


def _film_id() -> "sa.Column[str]":
    return sa.Column("film_id", sa.String(32), sa.ForeignKey("films.id", ondelete="CASCADE"), primary_key=True)


def _worklist() -> None:
    op.create_table(
        "worklist",
        _film_id(),
        sa.Column("created_at", sa.Double, nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("task", sa.String(64), nullable=False),
        sa.Column("search", sa.String(300), nullable=False),
        sa.Column("patient", sa.String(16), nullable=False),
        sa.Column("study", sa.String(16), nullable=False),
        sa.Column("margin", sa.Double),
        sa.Column("unanswered", sa.Integer, nullable=False),
        sa.Column("urgency", sa.Double, nullable=False),
    )
    op.create_index("worklist_newest", "worklist", ["created_at", "film_id"])
    op.create_index("worklist_urgent", "worklist", ["unanswered", "urgency", "created_at", "film_id"])
    op.create_index("worklist_patients", "worklist", ["patient", "study", "created_at", "film_id"])
    op.create_index("worklist_states", "worklist", ["state", "created_at", "film_id"])


def _beside_it() -> None:
    op.create_table(
        "findings_above",
        _film_id(),
        sa.Column("label", sa.String(64), primary_key=True),
        sa.Column("strength", sa.Double, nullable=False),
    )
    op.create_index("findings_above_films", "findings_above", ["label", "film_id"])
    op.create_table("answered_by", _film_id(), sa.Column("by", sa.String(80), primary_key=True))
    op.create_index("answered_by_films", "answered_by", ["by", "film_id"])
    op.create_table(
        "searches",
        sa.Column("token", sa.String(32), primary_key=True),
        sa.Column("text", sa.String(200), nullable=False),
        sa.Column("person", sa.String(80), nullable=False),
        sa.Column("created_at", sa.Double, nullable=False),
    )


def _settings() -> None:
    op.create_table(
        "site_settings",
        sa.Column("name", sa.String(80), primary_key=True),
        sa.Column("value", sa.String, nullable=False),
        sa.Column("changed_at", sa.Double, nullable=False),
    )
    key = op.create_table(
        "pseudonym_key", sa.Column("id", sa.Integer, primary_key=True), sa.Column("key", sa.String(64), nullable=False)
    )
    op.bulk_insert(key, [{"id": 1, "key": secrets.token_hex(32)}])


def _fill_films(connection: sa.Connection) -> None:
    """Urgencies are computed when a desk is opened. Files that came before are not opened for patients and studies."""
    connection.execute(sa.text(
        "INSERT INTO worklist SELECT id, created_at, CASE state WHEN 'reading' THEN 'waiting' ELSE state END, task, "
        "name, '', '', NULL, 1, 0.0 FROM films"
    ))  # fmt: skip
    for film_id, name in connection.execute(sa.text("SELECT id, name FROM films")).all():
        folded = normalize("NFKC", name).casefold()[:300]
        if folded != name:
            connection.execute(
                sa.text("UPDATE worklist SET search = :search WHERE film_id = :film"),
                {"search": folded, "film": film_id},
            )


def _fill_findings(connection: sa.Connection) -> None:
    read = connection.execute(sa.text("SELECT film_id FROM reports WHERE top_label <> ''")).scalars().all()
    for start in range(0, len(read), CHUNK):
        chosen = sa.text("SELECT film_id, json FROM reports WHERE film_id IN :films")
        chosen = chosen.bindparams(sa.bindparam("films", expanding=True))
        for film_id, report in connection.execute(chosen, {"films": read[start : start + CHUNK]}).all():
            _fill_film(connection, film_id, json.loads(report))


def _fill_film(connection: sa.Connection, film_id: str, report: dict[str, Any]) -> None:
    classes = report.get("model", {}).get("kind") == "multiclass"
    findings = report.get("findings", [])
    alarms = [finding for finding in findings if finding["above"] and finding["label"] not in HEALTHY]
    for finding in alarms:
        margin = None if classes else _margin(finding)
        strength = finding["probability"] if margin is None else 1 / (1 + math.exp(-margin))
        row = {"film": film_id, "label": finding["label"], "strength": strength}
        connection.execute(sa.text("INSERT INTO findings_above VALUES (:film, :label, :strength)"), row)
    margins = [margin for finding in alarms or findings if (margin := _margin(finding)) is not None]
    if margins and not classes:
        largest = {"margin": max(margins), "film": film_id}
        connection.execute(sa.text("UPDATE worklist SET margin = :margin WHERE film_id = :film"), largest)


def _margin(finding: dict[str, Any]) -> float | None:
    """Log odds by which a probability lies above its operating point."""
    point = finding["operating_point"]
    return None if point is None else _log_odds(finding["probability"]) - _log_odds(point["threshold"])


def _log_odds(probability: float) -> float:
    clipped = min(max(probability, 1e-7), 1 - 1e-7)
    return math.log(clipped / (1 - clipped))


def _fill_answers(connection: sa.Connection) -> None:
    """Of each person's latest answers, those that say anything."""
    connection.execute(sa.text(
        "INSERT INTO answered_by SELECT DISTINCT film_id, \"by\" FROM answers WHERE (verdict <> '' OR text <> '') AND "
        'id IN (SELECT max(id) FROM answers GROUP BY film_id, label, "by", person_id, browser)'
    ))  # fmt: skip
    connection.execute(sa.text(
        "UPDATE worklist SET unanswered = CASE WHEN film_id IN (SELECT film_id FROM answered_by) THEN 0 ELSE 1 END"
    ))  # fmt: skip
