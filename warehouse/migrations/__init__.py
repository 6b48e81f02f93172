"""The database's tables, revision by revision: `sql/NNNN_words.sql` holds the statements of revision NNNN, and its first line says which
revision it follows (`-- follows: 0033`). Numbers need not be in the order of the chain.

Tables, columns, indexes, constraints and rows only. Functions, views and triggers stand in `warehouse/objects` and are applied after
the last revision: a revision calls none of them, for what they are then is not what they are when it is applied.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from types import ModuleType

import psycopg
from alembic.runtime.migration import MigrationContext, MigrationStep
from alembic.script import Script
from alembic.script.revision import RevisionMap
from sqlalchemy import Connection

SQL = Path(__file__).parent / "sql"
VERSION_TABLE = "schema_version"

_FOLLOWS = re.compile(r"-- follows: (?:nothing|(\d{4}))\n")


def chain(folder: Path = SQL) -> RevisionMap:
    """Return the revisions of a folder as Alembic orders them.

    Raises:
        ValueError: a file does not begin with the revision that it follows.
    """
    scripts = [_script(path) for path in sorted(folder.glob("[0-9]*.sql"))]
    return RevisionMap(lambda: scripts)


def _script(path: Path) -> Script:
    statements = path.read_text()
    follows = _FOLLOWS.match(statements)
    if follows is None:
        raise ValueError(
            f"{path.name} does not say which revision it follows: begin it with a line like -- follows: 0033"
        )
    # Alembic wants a module a revision; these are made here, not written.
    module = ModuleType(path.stem)
    vars(module).update(down_revision=follows[1], upgrade=partial(_execute, statements))
    return Script(module, path.stem[:4], path)


def _execute(statements: str, connection: psycopg.Connection) -> None:
    connection.execute(statements.encode())


def revisions() -> list[str]:
    """Return every revision, the oldest first."""
    return [revision.revision for revision in chain().iterate_revisions("head", "base")][::-1]


def head() -> str:
    """Return the newest revision."""
    revision = chain().get_current_head()
    assert revision is not None
    return revision


def upgrade(connection: Connection, revision: str) -> None:
    """Apply what leads from the database's revision to this one (or `head`), in the connection's transaction."""
    known = chain()

    def steps(heads: tuple[str, ...], _: MigrationContext) -> Iterable[MigrationStep]:
        missing = [
            step for step in known.iterate_revisions(revision, heads, implicit_base=True) if isinstance(step, Script)
        ]
        return [MigrationStep.upgrade_from_script(known, step) for step in reversed(missing)]

    context = MigrationContext.configure(
        connection, opts={"fn": steps, "version_table": VERSION_TABLE, "version_table_schema": "ops"}
    )
    context.run_migrations(connection=connection.connection.driver_connection)
