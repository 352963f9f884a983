"""Whose an answer is: the account, or the browser of whoever gave no name.

Once a desk has accounts nobody answers unless signed in, so that from then on a name is that of the account.
"""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"

BY_THE_ACCOUNT = """
UPDATE answers SET person_id =
(SELECT id FROM people WHERE people.name = answers."by" AND answers."at" >= people.created_at)
"""


def upgrade() -> None:
    op.add_column("answers", sa.Column("person_id", sa.Integer))
    op.add_column("answers", sa.Column("browser", sa.String(32), nullable=False, server_default=""))
    op.execute(BY_THE_ACCOUNT)
