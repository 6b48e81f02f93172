"""`METERING_DISTRIBUTION=citus`: the rows of events on the workers of a Citus cluster, by the key of the record that they are about.

Everything else, marts and `ops` too, stays on the coordinator, with its policies, triggers and locks. On `none`, the default, nothing here runs.
"""

from __future__ import annotations

import os
from pathlib import Path

import psycopg
from psycopg import sql

from warehouse.errors import WarehouseConfigError, WarehouseUnavailable

VARIABLE = "METERING_DISTRIBUTION"
NONE, CITUS = "none", "citus"

KEYS = {
    "raw.twilio_messages": "sid",
    "raw.twilio_calls": "sid",
    "raw.twilio_recordings": "sid",
    "raw.stripe_balance_transactions": "id",
    "raw.usage_events": "record_key",
}
"""The tables that are spread, each by the column that has a record's key: of one record all rows are on one worker."""

# Who reads these tables does so on the workers, too, where the coordinator connects as the same role; who writes them, as the owner.
ROLES = ("metering_transformer",)

SETTINGS = {"timezone": "UTC", "datestyle": "ISO", "extra_float_digits": "1", "bytea_output": "hex"}
"""What the digests of a close and of an archive are made under: workers hear nothing of what a session or a function sets."""

FUNCTIONS = Path(__file__).with_suffix(".sql")

_TABLES = {"names": list(KEYS), "keys": list(KEYS.values())}
_MISSING = """
select tables.name, tables.key
from unnest(%(names)s::text[], %(keys)s::text[]) as tables (name, key)
where not exists (select from pg_dist_partition where logicalrelid = to_regclass(tables.name))
order by array_position(%(names)s::text[], tables.name)
"""


def is_citus() -> bool:
    """Return whether the setting is `citus`.

    Raises:
        WarehouseConfigError: it is something else than `none` or `citus`.
    """
    value = os.environ.get(VARIABLE, "").strip() or NONE
    if value not in (NONE, CITUS):
        raise WarehouseConfigError(f"{VARIABLE} must be {NONE} or {CITUS}, not {value}")
    return value == CITUS


def distribute(connection: psycopg.Connection) -> list[str]:
    """Spread the tables that are not spread yet, and let in the roles that work on them; return the tables' names.

    Raises:
        WarehouseUnavailable: the database has no Citus.
    """
    if connection.execute("select to_regclass('pg_dist_partition') is null").fetchone() == (True,):
        raise WarehouseUnavailable(f"{VARIABLE} is citus, and the database has no Citus: run `create extension citus`")
    for role in ROLES:
        row = connection.execute("select rolcanlogin from pg_roles where rolname = %s", (role,)).fetchone()
        if row == (False,):
            connection.execute(sql.SQL("alter role {} login").format(sql.Identifier(role)))
    _keep_settings(connection)
    spread = []
    for name, key in connection.execute(_MISSING, _TABLES).fetchall():
        with connection.transaction():
            _prepare(connection, name, key)
            connection.execute("select create_distributed_table(%s::regclass, %s)", (name, key))
        spread.append(name)
    connection.execute(FUNCTIONS.read_bytes())
    return spread


def find_gaps(connection: psycopg.Connection) -> str:
    """Return what the setting and the database do not agree about, in a line; nothing where they do. Changes nothing."""
    if connection.execute("select to_regclass('pg_dist_partition') is null").fetchone() == (True,):
        return f"{VARIABLE} is citus, and the database has no Citus" if is_citus() else ""
    missing = [name for name, _ in connection.execute(_MISSING, _TABLES).fetchall()]
    if is_citus():
        return f"{', '.join(missing)} not spread" if missing else ""
    spread = [name for name in KEYS if name not in missing]
    return f"{', '.join(spread)} spread, and {VARIABLE} is none: set it to citus in every process" if spread else ""


def workers(connection: psycopg.Connection) -> int:
    """Return how many workers there are, each of which let the roles in.

    Raises:
        psycopg.Error: a worker cannot be reached, or refuses a role.
    """
    for role in ROLES:
        with connection.transaction():
            connection.execute(sql.SQL("set local role {}").format(sql.Identifier(role)))
            for name in KEYS:
                # Of each shard one row at the most.
                connection.execute(sql.SQL("select 1 from {} limit 1").format(sql.Identifier(*name.split("."))))
    row = connection.execute("select count(*) from citus_get_active_worker_nodes()").fetchone()
    return int(row[0]) if row else 0


def _keep_settings(connection: psycopg.Connection) -> None:
    """Let each session begin with ``SETTINGS``, on the workers, too, to which Citus hands them on."""
    for name, value in SETTINGS.items():
        connection.execute(
            sql.SQL("alter database {} set {} = {}").format(
                sql.Identifier(connection.info.dbname), sql.Identifier(name), sql.Literal(value)
            )
        )


def _prepare(connection: psycopg.Connection, name: str, key: str) -> None:
    """Take from a table, and its partitions, what Citus has not: triggers, and a computed column as the key."""
    table = sql.Identifier(*name.split("."))
    triggers = connection.execute(
        "select tgrelid::regclass::text, tgname from pg_trigger where not tgisinternal"
        " and tgrelid in (select %(name)s::regclass union select relid from pg_partition_tree(%(name)s::regclass))",
        {"name": name},
    ).fetchall()
    for relation, trigger in triggers:
        # The server has quoted the relation's name itself.
        connection.execute(sql.SQL("drop trigger {} on {}").format(sql.Identifier(trigger), sql.SQL(relation)))
    computed = connection.execute(
        "select attgenerated <> '' from pg_attribute where attrelid = %s::regclass and attname = %s", (name, key)
    ).fetchone()
    if computed == (True,):
        column = sql.Identifier(key)
        connection.execute(sql.SQL("alter table {} alter column {} drop expression").format(table, column))
        connection.execute(sql.SQL("alter table {} alter column {} set not null").format(table, column))
