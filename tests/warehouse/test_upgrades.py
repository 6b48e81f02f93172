"""A database of any earlier version, with rows in its tables, becomes today's and loses none of them."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from datetime import UTC, date, datetime
from pathlib import Path

import psycopg
import pytest
from psycopg import sql

from tests.conftest import fresh_database
from tests.proof import all_in_proof
from tests.warehouse.test_restore import BINARIES
from warehouse.migrate import connect, current, head, migrate, upgrade
from warehouse.migrations import SQL, chain, revisions
from warehouse.objects import files, made_by
from warehouse.roles import ensure_roles, ensure_schemas

REVISIONS = revisions()
# Of versions whose revisions made functions and views: those that today's cannot simply replace, with the first and last revision that
# had them.
SINCE_REPLACED = (
    (
        "0008",
        "0033",
        "create function ops.cost_as_of(p_at timestamptz, p_first date default '-infinity', p_last date default 'infinity')"
        " returns table (tenant_id text, date date, channel text, cost_usd numeric, adjustment_usd numeric, unpriced_unit_count numeric)"
        " language sql as 'select null, null::date, null, 0, 0, 0'",
    ),
    (
        "0008",
        "0033",
        "create view ops.booked_adjustments as select id, tenant_id, month, date, channel, cost_usd, unit_count, unpriced_unit_count,"
        " booked_month, booked_on, reason, recorded_at from ops.cost_adjustments",
    ),
    ("0009", "0033", "create view ops.tenant_forecasts with (security_barrier) as select * from ops.usage_forecasts"),
    (
        "0005",
        "0025",
        "create function ops.requests_of(p_channel text, p_units numeric) returns numeric language sql return p_units",
    ),
    (
        "0027",
        "0032",
        "create function ops.is_known_tenant(p_tenant_id text) returns boolean language sql return true",
    ),
    (
        "0027",
        "0032",
        "create function ops.is_in_channel_unit(p_channel text, p_operation text) returns boolean language sql return true",
    ),
)
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


def schema(url: str) -> list[str]:
    """Return what stands in raw and ops, with rights and comments, in PostgreSQL's own words."""
    dumped = subprocess.run(
        [BINARIES / "pg_dump", "--schema-only", "--schema=raw", "--schema=ops", url],
        capture_output=True,
        text=True,
        check=True,
    )
    # A dump is guarded by a word of its own.
    return [line for line in dumped.stdout.splitlines() if not line.startswith(("\\restrict", "\\unrestrict"))]


@pytest.fixture(scope="module")
def fresh_schema(server: str, template: str) -> list[str]:
    """What `schema` says of a database that was migrated from nothing."""
    databases: Iterator[str] = fresh_database(server, template, "fresh")
    wanted = schema(next(databases))
    list(databases)
    return wanted


# A revision that was deployed never changes: what the newest do to any table's rows is seen from those before them, and what
# `SINCE_REPLACED` names from one revision that had it.
FROM = sorted({*REVISIONS[:-1:6], *REVISIONS[-4:-1]}, key=REVISIONS.index)


def test_what_was_since_replaced_is_there_in_a_version_that_is_always_upgraded() -> None:
    places = {revision: place for place, revision in enumerate(REVISIONS)}
    assert all(
        any(places[first] <= places[revision] <= places[last] for revision in FROM) for first, last, _ in SINCE_REPLACED
    )


@pytest.mark.parametrize("revision", all_in_proof(REVISIONS[:-1], FROM))
def test_an_upgrade_keeps_what_is_there_and_makes_the_schema_of_a_fresh_database(
    empty_database: str, fresh_schema: list[str], revision: str
) -> None:
    with connect(empty_database) as connection:
        ensure_roles(connection)
        ensure_schemas(connection)
        upgrade(empty_database, revision)
        assert current(connection) == revision
        before = fill(connection)
        assert len(before) >= 10, "most tables take a plain row"
        for first, last, statement in SINCE_REPLACED:
            if REVISIONS.index(first) <= REVISIONS.index(revision) <= REVISIONS.index(last):
                connection.execute(statement.encode())
    assert migrate(empty_database) == (revision, head())
    with connect(empty_database) as connection:
        after = {table: count(connection, *table) for table in before}
    # Migrations add rows of their own to tables of reference.
    assert {table: rows for table, rows in before.items() if after[table] < rows} == {}
    assert schema(empty_database) == fresh_schema


def test_deployed_databases_know_these_revisions_in_this_order() -> None:
    deployed = [
        "0001",
        "0002",
        "0003",
        "0004",
        "0005",
        "0006",
        "0007",
        "0008",
        "0009",
        "0010",
        "0011",
        "0012",
        "0013",
        "0014",
        "0015",
        "0016",
        "0017",
        "0022",
        "0018",
        "0020",
        "0025",
        "0019",
        "0027",
        "0023",
        "0033",
        "0032",
        "0030",
        "0031",
        "0035",
    ]
    assert deployed == REVISIONS[: len(deployed)]


@pytest.mark.parametrize("path", sorted(SQL.glob("*.sql")), ids=lambda path: path.stem)
def test_a_revision_neither_makes_nor_calls_what_is_stated_in_objects(path: Path) -> None:
    statements = re.sub(r"--.*", "", path.read_text())
    assert (
        re.findall(r"\bcreate (?:or replace )?(?:function|procedure|aggregate|view|trigger|policy)\b", statements) == []
    )
    routines = {name for file in files() for name in made_by(file.read_text()) if " on " not in name}
    # What stood there before may be dropped, where it cannot be replaced.
    statements = re.sub(r"drop function if exists [a-z_.]+\(", "", statements)
    assert [name for name in routines if re.search(rf"\b{re.escape(name)} ?\(", statements)] == []


def test_a_revision_that_follows_none_is_named(tmp_path: Path) -> None:
    (tmp_path / "0001_first.sql").write_text("select 1;\n")
    with pytest.raises(ValueError, match=re.escape("0001_first.sql does not say which revision it follows")):
        chain(tmp_path)
