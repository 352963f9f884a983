"""Whether somebody wants a film read although the film check refuses it, also when its reader dies."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    op.add_column("films", sa.Column("anyway", sa.Boolean, nullable=False, server_default=sa.false()))
