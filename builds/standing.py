"""Whether a build would read just what the newest one has read: then the marts stand, and nothing is built.

What the marts are made of:

- `raw` and what models read of `ops`: triggers note who has changed it (warehouse/objects/inputs.sql), and a build remembers which of
  the changes it saw (`ops.builds.inputs_seen`, of the newest build only). A change that was under way while that build began counts as
  made since; so does everything where a trigger is missing or disabled.
- Days that events were brought for: `ops.touched_days`.
- Code, settings and seeds: the build's `static_version`, and a digest of the seeds' rows.
- Time: figures are of a day, but for a usage's price, which is waited for 72 hours.

The marts themselves are what the build left. Who has changed them by hand asks for their days: such a build is always made.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import psycopg
from psycopg import sql

from builds import ledger
from builds.build_lock import build_lock
from builds.static_nodes import standing_version, static_nodes
from ingestion.windows import Window

NEWEST = """
select coalesce(newest.stands_on, newest.build_id), made.started_at, newest.static_version
from ops.builds as newest
inner join ops.builds as made on made.build_id = coalesce(newest.stands_on, newest.build_id)
where
    newest.inputs_seen is not null
    and newest.status = 'ok'
    and newest.window_start <= %(start)s
    and newest.window_end >= %(end)s
    and newest.static_version = %(version)s
    and newest.seeds_seen = %(seeds)s
    and newest.as_of <= %(as_of)s
    and (newest.as_of at time zone 'UTC')::date = (%(as_of)s at time zone 'UTC')::date
    -- Usage is unpriced for 72 hours, then has no price: nothing of the window may pass that line.
    and (%(start)s::timestamp at time zone 'UTC') + interval '72 hours' >= %(as_of)s
    and not exists (select from ops.touched_days where usage_date >= %(start)s and usage_date < %(end)s)
    and not exists (select from ops.input_changes where not pg_visible_in_snapshot(made_by, newest.inputs_seen))
    and not exists (
        select from unnest(%(inputs)s::text[]) as input
        where (
            select count(*) from pg_trigger
            where tgrelid = to_regclass(input) and tgname in ('input_changed', 'input_emptied') and tgenabled in ('O', 'A')
        ) <> 2
    )
    and not exists (select from unnest(%(models)s::text[]) as model where to_regclass(model) is null)
"""


@dataclass(frozen=True)
class Standing:
    """The build that made the marts as they stand, and when it began to read."""

    build_id: str
    since: datetime

    def __str__(self) -> str:
        since = self.since.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
        return f"no input of the marts has changed since {since} (build {self.build_id}): they are kept"


def note_standing(
    database_url: str,
    window: Window,
    *,
    as_of: datetime,
    build_id: str,
    tables: Sequence[str],
    data: Mapping[str, Any],
) -> Standing | None:
    """Record a build of ``window`` that has nothing to do, and return what it stands on; None where a build must be made.

    Record all that a build's end records: how old the data are, which days are built. The other arguments are those of
    `builds.build.run_build`; ``data`` is the parsed project's.
    """
    with build_lock(database_url) as connection, connection.transaction():
        version = standing_version(connection, data, static_nodes(data))
        row = connection.execute(
            NEWEST,
            {
                "start": window.start,
                "end": window.end,
                "as_of": as_of,
                "version": version,
                "seeds": seeds_digest(connection, data),
                "inputs": input_tables(data),
                "models": _relations(data),
            },
        ).fetchone()
        if row is None:
            return None
        standing = Standing(row[0], row[1])
        ledger.begin_build(
            connection, build_id, window, as_of, tables, static_version=version, stands_on=standing.build_id
        )
        ledger.end_build(connection, build_id, ok=True)
    return standing


def input_tables(data: Mapping[str, Any]) -> list[str]:
    """Return the tables that models read and no build writes, as ``schema.table``, sorted."""
    read = {parent for node in data["nodes"].values() for parent in node["depends_on"].get("nodes", ())}
    sources = {
        f"{source['schema']}.{source['identifier']}"
        for name, source in data["sources"].items()
        if name in read and source["meta"].get("written_by") != "builds"
    }
    return sorted(sources)


def seeds_digest(connection: psycopg.Connection, data: Mapping[str, Any]) -> str | None:
    """Return a digest of all seeds' rows; None where one is missing."""
    seeds = [(node["schema"], node["alias"]) for node in data["nodes"].values() if node["resource_type"] == "seed"]
    count = connection.execute(
        "select count(*) from pg_tables where (schemaname::text, tablename::text) in (select * from unnest(%s::text[], %s::text[]))",
        ([schema for schema, _ in seeds], [name for _, name in seeds]),
    ).fetchone()
    if count is None or count[0] != len(seeds):
        return None
    rows = sql.SQL(" union all ").join(
        sql.SQL("select {}::text as seed, t::text as row from {} as t").format(name, sql.Identifier(schema, name))
        for schema, name in sorted(seeds)
    )
    row = connection.execute(
        sql.SQL(
            "select md5(coalesce(string_agg(md5(seed || row), '' order by seed, row), '')) from ({}) as rows"
        ).format(rows)
    ).fetchone()
    return str(row[0]) if row else None


def _relations(data: Mapping[str, Any]) -> list[str]:
    return [
        f"{node['schema']}.{node['alias']}"
        for node in data["nodes"].values()
        if node["resource_type"] in ("model", "seed") and node["config"]["materialized"] != "ephemeral"
    ]
