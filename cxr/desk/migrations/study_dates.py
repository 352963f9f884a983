"""When the first film of each study was taken in: the order of a patient's studies."""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    op.add_column("worklist", sa.Column("study_at", sa.Double, nullable=False, server_default=sa.text("0")))
    op.execute(sa.text(
        "UPDATE worklist SET study_at = (SELECT min(w.created_at) FROM worklist w WHERE w.patient = worklist.patient "
        "AND w.study = worklist.study) WHERE study <> ''"
    ))  # fmt: skip
    op.drop_index("worklist_patients", "worklist")
    op.create_index("worklist_patients", "worklist", ["patient", "study_at", "study", "created_at", "film_id"])
