"""A database of any earlier version, with rows in its tables, becomes today's and loses none of them."""

from __future__ import annotations

from datetime import UTC, date, datetime

import psycopg
import pytest
from alembic.script import ScriptDirectory
from psycopg import sql

from warehouse.migrate import _config, connect, current, head, migrate, upgrade
from warehouse.roles import ensure_roles, ensure_schemas

REVISIONS = [script.revision for script in ScriptDirectory.from_config(_config()).walk_revisions()][::-1]
# Month by month the events' partitions are made as events come; these are of a month that every version has.
VALUES: dict[str, object] = {
    "date": date(2026, 11, 2),
    "timestamp with time zone": datetime(2026, 11, 2, 12, tzinfo=UTC),
    "numeric": 1,
    "bigint": 1,
    "integer": 1,
    "smallint": 1,
    "boolean": False,
    "jsonb": "{}",
    "bytea": b"x",
    "ARRAY": [],
}
TABLES = """
select n.nspname, c.relname
from pg_class as c
inner join pg_namespace as n on n.oid = c.relnamespace
where n.nspname in ('raw', 'ops') and c.relkind in ('r', 'p') and not c.relispartition and c.relname <> 'schema_version'
order by 1, 2
"""
REQUIRED = """
select column_name, data_type
from information_schema.columns
where table_schema = %s and table_name = %s and is_nullable = 'NO' and column_default is null and is_identity = 'NO'
    and is_generated = 'NEVER'
"""


def fill(connection: psycopg.Connection) -> dict[tuple[str, str], int]:
    """Give every table that takes such a row one of the plainest kind; return how many rows each table has."""
    counts: dict[tuple[str, str], int] = {}
    for schema, table in connection.execute(TABLES.encode()).fetchall():
        columns = connection.execute(REQUIRED.encode(), (schema, table)).fetchall()
        values = [VALUES.get(kind, f"{name}-1") for name, kind in columns]
        statement = sql.SQL("insert into {} ({}) values ({})").format(
            sql.Identifier(schema, table),
            sql.SQL(", ").join(sql.Identifier(name) for name, _ in columns),
            sql.SQL(", ").join(sql.Placeholder() * len(columns)),
        )
        try:
            connection.execute(statement, values)
        except (psycopg.errors.IntegrityError, psycopg.errors.InvalidTextRepresentation):
            continue  # a word from a list, or a row of another table, is wanted
        counts[schema, table] = count(connection, schema, table)
    return counts


def count(connection: psycopg.Connection, schema: str, table: str) -> int:
    row = connection.execute(sql.SQL("select count(*) from {}").format(sql.Identifier(schema, table))).fetchone()
    assert row is not None
    return int(row[0])


@pytest.mark.parametrize("revision", REVISIONS[:-1])
def test_an_upgrade_keeps_what_is_there(empty_database: str, revision: str) -> None:
    with connect(empty_database) as connection:
        ensure_roles(connection)
        ensure_schemas(connection)
        upgrade(empty_database, revision)
        assert current(connection) == revision
        before = fill(connection)
        assert len(before) >= 10, "most tables take a plain row"
    assert migrate(empty_database) == (revision, head())
    with connect(empty_database) as connection:
        after = {table: count(connection, *table) for table in before}
    # Migrations add rows of their own to tables of reference.
    assert {table: rows for table, rows in before.items() if after[table] < rows} == {}
