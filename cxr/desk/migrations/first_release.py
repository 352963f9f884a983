"""The schema of the first release, 0.1.0, whose databases name no schema and have these tables already."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    _films()
    _reports()
    op.create_table(
        "refusals",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("upload", sa.String(32), nullable=False),
        sa.Column("name", sa.String(200), nullable=False),
        sa.Column("sentence", sa.String, nullable=False),
        sa.Column("created_at", sa.Double, nullable=False),
        if_not_exists=True,
    )
    op.create_index("ix_refusals_upload", "refusals", ["upload"], if_not_exists=True)
    op.create_table(
        "discarded_heatmaps",
        sa.Column("gradcam", sa.String(64), primary_key=True),
        sa.Column("discarded_at", sa.Double, nullable=False),
        if_not_exists=True,
    )


def _films() -> None:
    op.create_table(
        "films",
        sa.Column("id", sa.String(32), primary_key=True),
        sa.Column("sha256", sa.String(64), nullable=False),
        sa.Column("name", sa.String(200), nullable=False),
        sa.Column("format", sa.String(16), nullable=False),
        sa.Column("task", sa.String(64), nullable=False),
        sa.Column("upload", sa.String(32), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("error", sa.String, nullable=False),
        sa.Column("claim", sa.String(32), nullable=False),
        sa.Column("lease_until", sa.Double, nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("gradcam", sa.String(64), nullable=False),
        sa.Column("gradcam_written", sa.Boolean, nullable=False),
        sa.Column("created_at", sa.Double, nullable=False),
        sa.Column("read_at", sa.Double),
        sa.Column("thumbnail", sa.LargeBinary, nullable=False),
        if_not_exists=True,
    )
    op.create_index("films_newest", "films", ["created_at", "id"], if_not_exists=True)
    op.create_index("films_unread", "films", ["state", "lease_until"], if_not_exists=True)
    op.create_index("ix_films_sha256", "films", ["sha256"], if_not_exists=True)
    op.create_index("ix_films_upload", "films", ["upload"], if_not_exists=True)


def _reports() -> None:
    op.create_table(
        "reports",
        sa.Column("film_id", sa.String(32), sa.ForeignKey("films.id", ondelete="CASCADE"), primary_key=True),
        sa.Column("json", sa.String, nullable=False),
        sa.Column("maps", sa.LargeBinary, nullable=False),
        sa.Column("model_sha256", sa.String(64), nullable=False),
        sa.Column("top_label", sa.String(64), nullable=False),
        sa.Column("top_probability", sa.Double, nullable=False),
        sa.Column("above", sa.Integer, nullable=False),
        if_not_exists=True,
    )
