"""People who sign in, their sessions and tokens, and the log of what happened."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

APPEND_ONLY = {
    "sqlite": [
        f"""CREATE TRIGGER audit_refuses_{change} BEFORE {change} ON audit
        BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END"""
        for change in ("UPDATE", "DELETE")
    ],
    "postgresql": [
        """CREATE FUNCTION audit_refuses() RETURNS trigger LANGUAGE plpgsql AS
        $$ BEGIN RAISE EXCEPTION 'the audit log is append-only'; END $$""",
        """CREATE TRIGGER audit_refuses_changes BEFORE UPDATE OR DELETE OR TRUNCATE ON audit
        FOR EACH STATEMENT EXECUTE FUNCTION audit_refuses()""",
        # What sqlite_sequence is to SQLite: a sequence would leave a gap where a transaction was broken off.
        "CREATE TABLE audit_last (number integer NOT NULL)",
        "INSERT INTO audit_last VALUES (0)",
        """CREATE FUNCTION audit_counts() RETURNS trigger LANGUAGE plpgsql AS
        $$ BEGIN UPDATE audit_last SET number = greatest(number, NEW.id); RETURN NULL; END $$""",
        "CREATE TRIGGER audit_counts_rows AFTER INSERT ON audit FOR EACH ROW EXECUTE FUNCTION audit_counts()",
    ],
}


def upgrade() -> None:
    _people()
    _sign_ins()
    _tokens()
    _audit()


def _people() -> None:
    op.create_table(
        "people",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("name", sa.String(64), nullable=False, unique=True),
        sa.Column("password", sa.String(200), nullable=False),
        sa.Column("role", sa.String(16), nullable=False),
        sa.Column("disabled", sa.Boolean, nullable=False),
        sa.Column("created_at", sa.Double, nullable=False),
        sa.Column("signed_in_at", sa.Double),
    )


def _sign_ins() -> None:
    op.create_table(
        "sign_ins",
        sa.Column("key_sha256", sa.String(64), primary_key=True),
        sa.Column("person_id", sa.Integer, sa.ForeignKey("people.id", ondelete="CASCADE"), nullable=False),
        sa.Column("created_at", sa.Double, nullable=False),
        sa.Column("seen_at", sa.Double, nullable=False),
    )
    op.create_index("ix_sign_ins_person_id", "sign_ins", ["person_id"])
    op.create_table(
        "sign_in_tries",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("who", sa.String(64), nullable=False),
        sa.Column("at", sa.Double, nullable=False),
    )
    op.create_index("ix_sign_in_tries_who", "sign_in_tries", ["who"])


def _tokens() -> None:
    op.create_table(
        "tokens",
        sa.Column("id", sa.String(16), primary_key=True),
        sa.Column("person_id", sa.Integer, sa.ForeignKey("people.id", ondelete="CASCADE"), nullable=False),
        sa.Column("name", sa.String(64), nullable=False),
        sa.Column("sha256", sa.String(64), nullable=False, unique=True),
        sa.Column("created_at", sa.Double, nullable=False),
        sa.Column("expires_at", sa.Double, nullable=False),
        sa.Column("revoked_at", sa.Double),
        sa.Column("used_at", sa.Double),
    )
    op.create_index("ix_tokens_person_id", "tokens", ["person_id"])


def _audit() -> None:
    op.create_table(
        "audit",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("at", sa.Double, nullable=False),
        sa.Column("person", sa.String(64), nullable=False),
        sa.Column("action", sa.String(32), nullable=False),
        sa.Column("film_id", sa.String(32), nullable=False),
        sa.Column("detail", sa.String(1000), nullable=False),
        sa.Column("hash", sa.String(64), nullable=False),
        sqlite_autoincrement=True,  # a number is never given twice, so that rows cut off at the end are missed
    )
    op.create_index("audit_of_film", "audit", ["film_id", "id"])
    op.create_index("audit_of_person", "audit", ["person", "id"])
    for statement in APPEND_ONLY[op.get_bind().dialect.name]:
        op.execute(statement)
