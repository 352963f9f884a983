"""Which storage of films belongs to the database, so that no other database sweeps its films away."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    """Without a row: a storage is bound when the desk is opened."""
    op.create_table(
        "bound_storage",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("token", sa.String(32), nullable=False),
    )
