"""Films that wait have the urgency of other films without a reading: all are ranked anew when the desk is opened."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    op.execute(sa.text("DELETE FROM site_settings WHERE name = 'ranked_with'"))
