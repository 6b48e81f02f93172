"""The six roles, what each owns and what each may do, made again at every migrate.

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
    "metering_analyst": "METERING_ANALYST_DATABASE_URL",
}

_LOST_RACES = (
    psycopg.errors.DuplicateObject,
    psycopg.errors.UniqueViolation,
    psycopg.errors.InternalError_,  # "tuple concurrently updated"
)

# Rights on the database itself: all that a copy of a migrated database does not have.
DATABASE_GRANTS = """
grant connect on database {database} to
    metering_loader, metering_transformer, metering_api, metering_tracker, metering_operator, metering_analyst;
-- dlt makes a staging dataset (a schema) per load; the proof job of the transformer a scratch schema.
grant create on database {database} to metering_loader, metering_transformer;
-- PostgreSQL lets everybody make temporary tables, which only some need.
revoke temporary on database {database} from public;
grant temporary on database {database} to metering_loader, metering_transformer, metering_tracker;
"""

GRANTS = """
-- What else PostgreSQL gives to everybody: functions, and objects in `public` in a database that an older server made. Who comes
-- without a right leaves nothing behind.
revoke all on all functions in schema ops, raw, staging, intermediate, marts from public;
alter default privileges for role metering_transformer revoke execute on functions from public;
do $$ begin
    if to_regnamespace('public') is not null then
        revoke create on schema public from public;
    end if;
end $$;

grant usage on schema raw to metering_loader, metering_transformer;
grant select, insert, update, delete on all tables in schema raw to metering_loader;
-- Rows are numbered without a right to the sequences; with one, a role could skip numbers for ever.
revoke all on all sequences in schema raw, ops from metering_loader, metering_tracker;
grant select on all tables in schema raw to metering_transformer;

grant usage on schema ops to metering_loader, metering_api;
grant select, insert, update, delete on ops.source_reads, ops.ingest_runs to metering_loader;
grant select, update on ops.source_days to metering_loader;
grant insert on ops.touched_days to metering_loader;
grant select on ops.archived_months to metering_loader;
grant select on ops.current_build, ops.built_windows, ops.data_freshness, ops.answered_days to metering_api;
grant select on ops.tenant_forecasts, ops.alerts, ops.blocked_actions, ops.proof_status to metering_api;
grant execute on function
    ops.check_access(text, text, numeric, text),
    ops.limits_of(text, text),
    ops.metrics(timestamptz, integer)
to metering_api;

-- The tracking SDK brings events and asks about caps; what it may do beyond inserting, functions do for it.
grant usage on schema raw, ops to metering_tracker;
grant insert on raw.usage_events, raw.rejected_records, ops.access_decisions to metering_tracker;
grant select, insert on raw.usage_event_keys to metering_tracker;
grant execute on function
    raw.ensure_usage_event_months(date[]),
    raw.scoped_event_key(text, text, text),
    raw.is_event_of(text, date, text, text),
    raw.recorded_keys(text[]),
    ops.guard_check(text, text, numeric, text),
    ops.reserve_usage(text, text, text, text, numeric, text, numeric, text),
    ops.lease_usage(text, text, text, text, numeric, integer, text, numeric, text),
    ops.settle_usage(text, text, numeric),
    ops.settle_leased_usage(text, numeric, text, numeric),
    ops.release_usage(text),
    ops.tenants_of_reservations(text[]),
    ops.add_live_usage(text, text[], text[]),
    ops.add_live_records(text, text[], date[], text[]),
    ops.usage_status_of(text, text),
    ops.tenant_of_number(text, date),
    ops.tenants_of_keys(text[], date[])
to metering_tracker;

grant usage on schema ops to metering_transformer;
grant select on ops.source_reads to metering_transformer;
grant execute on function ops.forget_built_usage(), ops.protect_rows(regclass, boolean) to metering_transformer;
-- The ledgers of costs: dbt adds to them and cannot take back.
grant select, insert on ops.price_books, ops.price_book_rows, ops.cost_restatements, ops.cost_adjustments to metering_transformer;
grant select, insert, update on ops.built_days to metering_transformer;
grant select on ops.closed_months, ops.closed_names to metering_transformer;
grant execute on function
    ops.keep_price_book(regclass),
    ops.price_row_text(text, text, text, text, text, numeric, numeric, date, date, text, text),
    ops.price_book_version(text[])
to metering_transformer;
grant execute on function
    ops.add_units(jsonb, jsonb),
    ops.subtract_units(jsonb, jsonb),
    ops.sum_units(jsonb),
    ops.only_quantity(jsonb),
    ops.quantity_of_kinds(jsonb),
    ops.is_channel_unit(text, text),
    ops.percent_of_cap(numeric, numeric),
    ops.limit_status(numeric, numeric, numeric, numeric),
    ops.severity(text),
    ops.status_of(integer),
    ops.worse_status(text, text),
    ops.worst_status(text)
to metering_transformer, metering_api;
grant execute on function ops.note_record_changes(text, text[], date[], text[], date[], text) to metering_loader;
grant execute on function ops.note_directory_changes(text) to metering_loader;
grant select on ops.booked_adjustments to metering_api;
grant select on ops.kept_months, ops.kept_tenants, ops.kept_totals, ops.kept_days, ops.own_numbers to metering_api;
grant execute on function ops.tenants_of_month(text), ops.days_of_month(text) to metering_api;

-- The operator says what has been seen, what is to be said of it and until when it can wait; triggers do the rest.
grant usage on schema ops to metering_operator;
grant insert on ops.alert_acknowledgements, ops.alert_notes to metering_operator;

-- Analysts read every tenant's rows of the marts (their policy says so), and nothing else: neither raw, where numbers may stand in clear, nor ops.
grant usage on schema marts to metering_api, metering_analyst;
grant select on all tables in schema marts to metering_api, metering_analyst;
alter default privileges for role metering_transformer in schema marts grant select on tables to metering_api, metering_analyst;
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
    row = connection.execute("select rolcanlogin from pg_roles where rolname = %s", (role,)).fetchone()
    if row is None:
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
        row = connection.execute("select 1 from pg_namespace where nspname = %s", (schema,)).fetchone()
        if row is None:
            connection.execute(
                sql.SQL("create schema {} {}").format(
                    sql.Identifier(schema),
                    sql.SQL("authorization {}").format(sql.Identifier(owner)) if owner else sql.SQL(""),
                )
            )


def ensure_grants(connection: psycopg.Connection) -> None:
    """Give each role its rights, and take from everybody what only some need. Safe to repeat."""
    with connection.transaction():
        grant_database(connection, connection.info.dbname)
        connection.execute(GRANTS)
        if connection.execute("select rolsuper from pg_roles where rolname = current_user").fetchone() == (True,):
            connection.execute(NO_LARGE_OBJECTS)


def grant_database(connection: psycopg.Connection, database: str) -> None:
    """Give each role its rights on ``database`` itself, from whichever database of its server. Safe to repeat."""
    connection.execute(sql.SQL(DATABASE_GRANTS).format(database=sql.Identifier(database)))


# Everybody may make large objects, which stay, outside of every schema. Only a superuser can take that back.
NO_LARGE_OBJECTS = """
do $$
declare
    made regprocedure;
begin
    for made in
        select oid from pg_proc
        where pronamespace = 'pg_catalog'::regnamespace and proname in ('lo_create', 'lo_creat', 'lo_from_bytea')
    loop
        execute format('revoke execute on function %s from public', made);
    end loop;
end $$;
"""

_SCHEMAS_OF_ANOTHER = """
select nspname from pg_namespace where nspname = any(%s) and nspowner <> %s::regrole order by 1
"""

# Indexes and the sequences of columns follow their tables.
_OBJECTS_OF_ANOTHER = """
select
    case relkind when 'v' then 'view' when 'm' then 'materialized view' when 'S' then 'sequence' else 'table' end,
    pg_class.oid::regclass::text
from pg_class
where relnamespace = any(%(schemas)s::regnamespace[])
    and relowner <> %(owner)s::regrole
    and relkind in ('r', 'p', 'v', 'm', 'S')
    and not exists (
        select from pg_depend
        where pg_depend.classid = 'pg_class'::regclass and pg_depend.objid = pg_class.oid and pg_depend.deptype in ('a', 'i')
            and pg_class.relkind = 'S'
    )
union all
select 'routine', oid::regprocedure::text
from pg_proc
where pronamespace = any(%(schemas)s::regnamespace[]) and proowner <> %(owner)s::regrole
order by 2
"""

_MARTS = """
select oid::regclass::text from pg_class
where relnamespace = 'marts'::regnamespace and relkind in ('r', 'p')
order by 1
"""

# The rights that a role's part begins with: where one is there, `ensure_grants` has been there.
_FIRST_RIGHTS = """
select wanted.role || ' on ' || wanted.object
from (values
    ('metering_loader', 'raw.tenants', 'insert'),
    ('metering_transformer', 'raw.tenants', 'select'),
    ('metering_tracker', 'raw.usage_events', 'insert'),
    ('metering_operator', 'ops.alert_acknowledgements', 'insert'),
    ('metering_operator', 'ops.alert_notes', 'insert'),
    ('metering_api', 'ops.current_build', 'select')
) as wanted (role, object, privilege)
where not has_table_privilege(wanted.role, wanted.object, wanted.privilege)
union all
select reader || ' on ' || oid::regclass from pg_class, unnest('{metering_api, metering_analyst}'::text[]) as reader
where relnamespace = 'marts'::regnamespace and relkind in ('r', 'p', 'v')
    and not has_table_privilege(reader, oid, 'select')
"""


def ensure_owners(connection: psycopg.Connection) -> list[str]:
    """Give each schema of a role, and what is in it, to that role; return what was another's: a dump restored without roles
    belongs to whoever restored it.
    """
    repaired = []
    for owner, schemas in _owned().items():
        role = sql.Identifier(owner)
        with connection.transaction():
            for (schema,) in connection.execute(_SCHEMAS_OF_ANOTHER, (schemas, owner)).fetchall():
                connection.execute(
                    sql.SQL("grant create on database {} to {}").format(sql.Identifier(connection.info.dbname), role)
                )
                connection.execute(sql.SQL("alter schema {} owner to {}").format(sql.Identifier(schema), role))
                repaired.append(f"schema {schema}")
            objects = connection.execute(_OBJECTS_OF_ANOTHER, {"schemas": schemas, "owner": owner}).fetchall()
            for kind, name in objects:
                # The server has quoted the name itself.
                connection.execute(sql.SQL("alter {} {} owner to {}").format(sql.SQL(kind), sql.SQL(name), role))
                repaired.append(name)
    return repaired


def ensure_policies(connection: psycopg.Connection) -> list[str]:
    """Protect the rows of every mart that is there; return those that were not, or otherwise."""
    with connection.transaction():
        return _protect(connection, look=False)


def _protect(connection: psycopg.Connection, *, look: bool) -> list[str]:
    protect = "select ops.protect_rows(%s::regclass, %s)"
    marts = [mart for (mart,) in connection.execute(_MARTS).fetchall()]
    return [mart for mart in marts if connection.execute(protect, (mart, look)).fetchone() == (True,)]


def find_gaps(connection: psycopg.Connection) -> list[str]:
    """Return what `metering migrate` would repair of owners, rights and policies, one line for each kind; changes nothing."""
    # Of a role that is not there the server can say nothing.
    missing = connection.execute(
        "select unnest(%s::text[]) except select rolname from pg_roles order by 1", (list(ROLES),)
    ).fetchall()
    if missing:
        return [f"roles are missing: {_some([role for (role,) in missing])}"]
    gaps = []
    of_another: list[str] = []
    for owner, schemas in _owned().items():
        of_another += [name for (name,) in connection.execute(_SCHEMAS_OF_ANOTHER, (schemas, owner)).fetchall()]
        objects = connection.execute(_OBJECTS_OF_ANOTHER, {"schemas": schemas, "owner": owner}).fetchall()
        of_another += [name for _, name in objects]
    if of_another:
        gaps.append(f"{_some(of_another)} do not belong to metering_transformer")
    missing_rights = [what for (what,) in connection.execute(_FIRST_RIGHTS).fetchall()]
    if missing_rights:
        gaps.append(f"rights are missing: {_some(missing_rights)}")
    unprotected = _protect(connection, look=True)
    if unprotected:
        gaps.append(f"policies are missing: {_some(unprotected)}")
    return gaps


def _owned() -> dict[str, list[str]]:
    owned: dict[str, list[str]] = {}
    for schema, owner in SCHEMA_OWNERS.items():
        if owner is not None:
            owned.setdefault(owner, []).append(schema)
    return owned


def _some(names: list[str], shown: int = 3) -> str:
    rest = len(names) - shown
    return ", ".join(names[:shown]) + (f" and {rest} more" if rest > 0 else "")
