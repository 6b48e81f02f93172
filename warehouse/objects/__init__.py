"""Functions, views and triggers of `raw` and `ops`: each is stated once, in one of the `<subject>.sql` here.

`metering migrate` applies a file again when its text, or what the database has of it, is not what was applied last: so a change is a
change of its lines, one made by hand in the database is taken back, and where nothing has changed nothing is locked.

A file consists of `create or replace` and of a comment on each view, and needs no other file to be made. What `create or replace` cannot
do (drop an object, change a function's arguments or result, take a column from a view) a revision in `warehouse/migrations` does first,
with `drop`. Views name their columns: `*` would stand for those of the day on which it was applied.
"""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

import psycopg

FOLDER = Path(__file__).parent

_MADE = re.compile(
    r"^create or replace (?:(?:function|aggregate|view) (\w+\.\w+)|trigger (\w+ )(?:[^;]*?)(on \w+\.\w+))", re.MULTILINE
)

# What the database has of these names: functions as `raw.name`, triggers as `name on ops.table`.
_STATE = """
select coalesce(encode(sha256(convert_to(string_agg(definition, e'\\n' order by definition collate "C"), 'UTF8')), 'hex'), '')
from (
    select pg_get_functiondef(routines.oid) as definition
    from pg_proc as routines
    where
        routines.prokind <> 'a'
        and routines.pronamespace in ('raw'::regnamespace, 'ops'::regnamespace)
        and routines.pronamespace::regnamespace || '.' || routines.proname = any(%(names)s)
    union all
    select aggregates.aggfnoid::regprocedure || ' ' || (to_jsonb(aggregates) - 'aggfnoid')
    from pg_aggregate as aggregates
    inner join pg_proc as routines on aggregates.aggfnoid = routines.oid
    where routines.pronamespace::regnamespace || '.' || routines.proname = any(%(names)s)
    union all
    select concat_ws(' ', views.oid::regclass, views.reloptions, pg_get_viewdef(views.oid), obj_description(views.oid, 'pg_class'))
    from pg_class as views
    where
        views.relkind = 'v'
        and views.relnamespace in ('raw'::regnamespace, 'ops'::regnamespace)
        and views.relnamespace::regnamespace || '.' || views.relname = any(%(names)s)
    union all
    select pg_get_triggerdef(triggers.oid) || ' ' || triggers.tgenabled::text
    from pg_trigger as triggers
    where not triggers.tgisinternal and triggers.tgname || ' on ' || triggers.tgrelid::regclass::text = any(%(names)s)
) as made
"""


def files() -> list[Path]:
    """Return the files in the order in which they are applied."""
    return sorted(FOLDER.glob("*.sql"))


def made_by(statements: str) -> list[str]:
    """Return the names that a file's text makes: `ops.name`, of a trigger `name on ops.table`."""
    return ["".join(name) for name in _MADE.findall(statements)]


def find_changed(connection: psycopg.Connection) -> list[str]:
    """Return the names of the files that `apply` would apply; changes nothing."""
    with connection.transaction():
        applied = _applied(connection)
        return [path.name for path in files() if applied.get(path.name) != _digests(connection, path.read_text())]


def apply(connection: psycopg.Connection) -> list[str]:
    """Apply the files that have changed, all or none; return their names."""
    with connection.transaction():
        changed = find_changed(connection)
        # Some ask marts, which the first build makes.
        connection.execute("set local check_function_bodies = off")
        for name in changed:
            statements = (FOLDER / name).read_text()
            connection.execute(statements.encode())
            connection.execute(
                "insert into ops.object_files (file, text_digest, state_digest) values (%s, %s, %s)"
                " on conflict (file) do update set text_digest = excluded.text_digest, state_digest = excluded.state_digest,"
                " applied_at = excluded.applied_at",
                (name, *_digests(connection, statements)),
            )
        if changed:
            # A new function may be called by everybody. Who may call it, `warehouse.roles` says after this transaction.
            connection.execute("revoke all on all functions in schema raw, ops from public")
        connection.execute("delete from ops.object_files where not file = any(%s)", ([path.name for path in files()],))
    return changed


def _applied(connection: psycopg.Connection) -> dict[str, tuple[str, str]]:
    rows = connection.execute("select file, text_digest, state_digest from ops.object_files").fetchall()
    return {file: (text, state) for file, text, state in rows}


def _digests(connection: psycopg.Connection, statements: str) -> tuple[str, str]:
    """Return the digests of a file's text and of what the database has of it."""
    # How the server writes a definition down depends on what it would find without a schema.
    connection.execute("set local search_path = pg_catalog, pg_temp")
    row = connection.execute(_STATE, {"names": made_by(statements)}).fetchone()
    assert row is not None
    return hashlib.sha256(statements.encode()).hexdigest(), str(row[0])
