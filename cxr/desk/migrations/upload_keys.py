"""The keys by which an upload is known when it is sent again."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    op.create_table(
        "upload_keys",
        sa.Column("key", sa.String(128), primary_key=True),
        sa.Column("film_id", sa.String(32), sa.ForeignKey("films.id", ondelete="CASCADE"), nullable=False),
    )
    op.create_index("ix_upload_keys_film_id", "upload_keys", ["film_id"])
