"""The steps by which a database of an older version becomes one of this version: one module for each.

A new step is a module here whose `down_revision` names the step before it; docs/upgrade.md says how to write one.
"""

from pathlib import Path

import sqlalchemy as sa
from alembic.migration import MigrationContext
from alembic.operations import Operations
from alembic.script import ScriptDirectory

from cxr.errors import SettingError

FOLDER = Path(__file__).parent


def known() -> list[str]:
    """The schemas that this version of cxr can read, oldest first."""
    return [step.revision for step in _steps().walk_revisions()][::-1]


def upgrade(connection: sa.Connection) -> None:
    """Bring the database up to date. The caller holds its write lock, so that several processes may start at once.

    A database of the first release names no schema: the first step makes only what is not there yet.

    Raises:
        SettingError: a newer version of cxr wrote the database.
    """
    steps, context = _steps(), MigrationContext.configure(connection)
    schema = context.get_current_revision()
    validate(schema, "database")
    pending = list(steps.iterate_revisions("head", schema or "base"))[::-1]
    with Operations.context(context):
        for step in pending:
            step.module.upgrade()
    if pending:
        context.stamp(steps, "head")


def validate(schema: str | None, thing: str) -> None:
    """Raises SettingError when `thing` has a schema that only a newer version of cxr knows."""
    if schema is not None and schema not in known():
        raise SettingError(
            f"The {thing} was written by a newer version of cxr (schema {schema[:32]}; this one knows {known()[-1]} "
            "and older ones); install that version, or restore a backup that was made before the upgrade."
        )


def _steps() -> ScriptDirectory:
    return ScriptDirectory(str(FOLDER), version_locations=[str(FOLDER)])
