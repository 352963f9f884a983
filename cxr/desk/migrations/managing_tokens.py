"""Which tokens may change people, passwords and tokens; those from before may not."""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"


def upgrade() -> None:
    op.add_column("tokens", sa.Column("manages", sa.Boolean, nullable=False, server_default=sa.false()))
