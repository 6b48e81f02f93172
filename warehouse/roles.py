"""The five roles and what each may do, made again at every migrate.

Roles belong to the whole server, not to our database: others may be using it, two databases may be migrated at once, and
a dump restored elsewhere arrives without them. So they are changed only where they differ, and a lost race is tried again.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from urllib.parse import unquote, urlsplit

import psycopg
from psycopg import sql

from warehouse.urls import ROLES, check

SCHEMA_OWNERS: dict[str, str | None] = {
    "raw": None,
    "staging": "metering_transformer",
    "intermediate": "metering_transformer",
    "marts": "metering_transformer",
    "ops": None,
    "dagster": None,
}

# A role whose URL carries a password of its own can log in; the others are only ever assumed by the owner.
LOGIN_VARIABLES = {
    "metering_api": "METERING_API_DATABASE_URL",
    "metering_tracker": "METERING_TRACKER_DATABASE_URL",
    "metering_operator": "METERING_OPERATOR_DATABASE_URL",
}

_LOST_RACES = (
    psycopg.errors.DuplicateObject,
    psycopg.errors.UniqueViolation,
    psycopg.errors.InternalError_,  # "tuple concurrently updated"
)

GRANTS = """
grant connect on database {database} to metering_loader, metering_transformer, metering_api, metering_tracker, metering_operator;
-- dlt makes a staging dataset (a schema) per load; the proof job of the transformer a scratch schema.
grant create on database {database} to metering_loader, metering_transformer;

grant usage on schema raw to metering_loader, metering_transformer;
grant select, insert, update, delete on all tables in schema raw to metering_loader;
grant usage on all sequences in schema raw to metering_loader;
grant select on all tables in schema raw to metering_transformer;

grant usage on schema ops to metering_loader, metering_api;
grant select, insert, update, delete on ops.source_reads, ops.ingest_runs to metering_loader;
grant select, update on ops.source_days to metering_loader;
grant insert on ops.touched_days to metering_loader;
grant select on ops.current_build, ops.data_freshness to metering_api;
grant select on ops.tenant_forecasts, ops.alerts, ops.blocked_actions, ops.proof_status to metering_api;
revoke all on all functions in schema ops, raw from public;
grant execute on function ops.check_access(text, text, numeric, text) to metering_api;

-- The tracking SDK brings events and asks about caps; what it may do beyond inserting, functions do for it.
grant usage on schema raw, ops to metering_tracker;
grant temporary on database {database} to metering_tracker;
grant insert on raw.usage_events, raw.rejected_records, ops.access_decisions to metering_tracker;
grant select, insert on raw.usage_event_keys to metering_tracker;
grant usage on all sequences in schema raw, ops to metering_tracker;
grant execute on function
    raw.ensure_usage_event_months(date[]),
    raw.scoped_event_key(text, text, text),
    raw.is_event_of(text, date, text, text),
    ops.guard_check(text, text, numeric, text),
    ops.reserve_usage(text, text, text, text, numeric, text, numeric, text),
    ops.settle_usage(text, text, numeric),
    ops.release_usage(text),
    ops.add_live_usage(text, text[], text[]),
    ops.usage_status_of(text, text),
    ops.tenant_of_number(text, date)
to metering_tracker;

grant usage on schema ops to metering_transformer;
grant select on ops.source_reads to metering_transformer;
grant execute on function ops.forget_built_usage() to metering_transformer;
-- The ledgers of costs: dbt adds to them and cannot take back.
grant select, insert on ops.price_books, ops.price_book_rows, ops.cost_restatements, ops.cost_adjustments to metering_transformer;
grant select, insert, update on ops.built_days to metering_transformer;
grant select on ops.closed_months to metering_transformer;
grant execute on function ops.keep_price_book(regclass) to metering_transformer;
grant execute on function ops.note_record_changes(text, text[], date[], text[], date[], text) to metering_loader;
grant execute on function ops.note_directory_changes(text) to metering_loader;
grant select on ops.booked_adjustments to metering_api;

-- The operator says what has been seen; a trigger does the rest.
grant usage on schema ops to metering_operator;
grant insert on ops.alert_acknowledgements to metering_operator;

grant usage on schema marts to metering_api;
grant select on all tables in schema marts to metering_api;
alter default privileges for role metering_transformer in schema marts grant select on tables to metering_api;
"""


def _retrying(work: Callable[[], None], attempts: int = 20) -> None:
    for attempt in range(attempts):
        try:
            work()
            return
        except _LOST_RACES:
            if attempt == attempts - 1:
                raise
            time.sleep(0.05 * (attempt + 1))


def ensure_roles(connection: psycopg.Connection) -> None:
    """Create the roles that are missing and make the owner a member of each. Needs an autocommit connection."""
    for role in ROLES:
        _retrying(lambda role=role: _ensure_role(connection, role))  # type: ignore[misc]


def _ensure_role(connection: psycopg.Connection, role: str) -> None:
    name = sql.Identifier(role)
    found = connection.execute("select rolcanlogin from pg_roles where rolname = %s", (role,)).fetchone()
    if found is None:
        connection.execute(sql.SQL("create role {} nologin").format(name))
    member = connection.execute(
        "select pg_has_role(current_user, %s, 'usage') and (select rolsuper or pg_has_role(current_user, %s, 'member')"
        " from pg_roles where rolname = current_user)",
        (role, role),
    ).fetchone()
    if member is None or not member[0]:
        connection.execute(sql.SQL("grant {} to current_user").format(name))
    _ensure_login(connection, role)


def _ensure_login(connection: psycopg.Connection, role: str) -> None:
    url = os.environ.get(LOGIN_VARIABLES.get(role, ""))
    if not url:
        return
    parts = urlsplit(check(url, LOGIN_VARIABLES[role]))
    if unquote(parts.username or "") != role or not parts.password:
        return
    try:
        psycopg.connect(url, connect_timeout=5).close()
    except psycopg.OperationalError:
        # Cannot log in as it should: (re)set the password. What the server says of it must not reach a log.
        connection.execute(
            sql.SQL("alter role {} login password {}").format(
                sql.Identifier(role), sql.Literal(unquote(parts.password))
            )
        )


def ensure_schemas(connection: psycopg.Connection) -> None:
    """Create the schemas that are missing, each owned by the role that fills it."""
    for schema, owner in SCHEMA_OWNERS.items():
        found = connection.execute("select 1 from pg_namespace where nspname = %s", (schema,)).fetchone()
        if found is None:
            connection.execute(
                sql.SQL("create schema {} {}").format(
                    sql.Identifier(schema),
                    sql.SQL("authorization {}").format(sql.Identifier(owner)) if owner else sql.SQL(""),
                )
            )


def ensure_grants(connection: psycopg.Connection) -> None:
    """Give each role its rights. Safe to repeat."""
    statement = sql.SQL(GRANTS).format(database=sql.Identifier(connection.info.dbname))
    with connection.transaction():
        connection.execute(statement)
