"""The record of what was ingested and built: `ops.source_days`, `ops.touched_days`, `ops.input_changes` and `ops.builds`, and nothing else.

A day is done for a provider when its ingested data were in a build that could call them final. The order of marks makes
that safe against a crash anywhere and against runs that overlap:

1. before an ingest, its days lose both marks;  2. after it, they are ingested;
3. after a build, those that were ingested before it started are built.

Days outside its window that an ingest changes (a record that moved, a number seen late) are unmarked by the swap that changes them.

Events say themselves which days they touch, their records' among them (`ops.touched_days`, one row per day and flush, in the flush's
transaction), and a swap says it of the events whose records it brings or takes away (one row per day and load). A build claims
the rows of its window before it reads, and takes them away when it has ended well.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime

import psycopg

from ingestion.windows import Window


@dataclass(frozen=True)
class DayState:
    """One provider's one day: null where not (or no longer) so."""

    provider: str
    usage_date: date
    ingested_at: datetime | None
    built_at: datetime | None
    built_as_of: date | None


def begin_ingest(database_url: str, provider: str, window: Window) -> None:
    """Take both marks off the window's days: from here until `end_ingest` their data may be anything."""
    with psycopg.connect(database_url) as connection:
        connection.execute(
            "insert into ops.source_days (provider, usage_date)"
            " select %(provider)s, unnest(%(days)s::date[])"
            " on conflict (provider, usage_date) do update set ingested_at = null, built_at = null, built_as_of = null",
            {"provider": provider, "days": window.days()},
        )


def end_ingest(database_url: str, provider: str, days: Iterable[date]) -> None:
    """Mark ``days`` as ingested now."""
    with psycopg.connect(database_url) as connection:
        connection.execute(
            "update ops.source_days set ingested_at = clock_timestamp()"
            " where provider = %(provider)s and usage_date = any(%(days)s::date[])",
            {"provider": provider, "days": list(days)},
        )


def static_version(connection: psycopg.Connection) -> str | None:
    """Return which static nodes stand in the database by the newest build's word; None where it was making them and did not end well."""
    row = connection.execute("select static_version from ops.builds order by started_at desc limit 1").fetchone()
    return row[0] if row else None


def begin_build(
    connection: psycopg.Connection,
    build_id: str,
    window: Window,
    as_of: datetime,
    tables: Sequence[str],
    *,
    static_version: str | None = None,
    stands_on: str | None = None,
) -> None:
    """Record a build that starts now, with the time of each source's last successful read. Call under the build lock, before it reads.

    ``static_version`` names the static nodes (see `builds.static_nodes`) that it leaves as they stand; None: it makes them.
    ``stands_on`` is the build whose marts it leaves as they stand (see `builds.standing`): it has seen no change since the newest one.

    The oldest of these is how old the data are. A table of which a later good read of its provider had no answer owes none (a category that
    is no longer the directory's, totals that the key may not read), and holds nothing back.
    """
    connection.execute(
        "update ops.builds set status = 'failed', finished_at = clock_timestamp() where status = 'running'"
    )
    # What the newest build saw, and it alone: whatever an earlier one saw, a later one may have made other marts of.
    newest = connection.execute(
        "select inputs_seen::text, seeds_seen from ops.builds where inputs_seen is not null"
    ).fetchone()
    connection.execute("update ops.builds set inputs_seen = null, seeds_seen = null where inputs_seen is not null")
    inputs, seeds = newest if stands_on and newest else (None, None)
    connection.execute(
        "insert into ops.builds (build_id, window_start, window_end, as_of, started_at, status, static_version, stands_on, seeds_seen,"
        "   inputs_seen, data_as_of, sources)"
        " select %(id)s, %(start)s, %(end)s, %(as_of)s, clock_timestamp(), 'running', %(static)s, %(stands_on)s, %(seeds)s,"
        "   coalesce(%(inputs)s::pg_snapshot, pg_current_snapshot()),"
        "   min(reads.last) filter (where not exists (select from ops.ingest_runs as later where later.provider = reads.provider"
        "     and later.status = 'ok' and later.started_at > reads.last)),"
        "   coalesce(jsonb_object_agg(reads.name, extract(epoch from reads.last)) filter (where reads.last is not null), '{}')"
        " from (select name, found.last, found.provider from unnest(%(tables)s::text[]) as name"
        "       cross join lateral (select max(answered_at) as last, max(provider) as provider from ops.source_reads"
        "         where table_name = name) as found) as reads"
        " on conflict (build_id) do update set started_at = excluded.started_at, status = 'running', finished_at = null,"
        "   static_version = excluded.static_version, stands_on = excluded.stands_on, seeds_seen = excluded.seeds_seen,"
        "   inputs_seen = excluded.inputs_seen, data_as_of = excluded.data_as_of, sources = excluded.sources",
        {
            "id": build_id,
            "start": window.start,
            "end": window.end,
            "as_of": as_of,
            "tables": list(tables),
            "static": static_version,
            "stands_on": stands_on,
            "seeds": seeds,
            "inputs": inputs,
        },
    )

    connection.execute(
        "update ops.touched_days set build_id = %(id)s where usage_date >= %(start)s and usage_date < %(end)s",
        {"id": build_id, "start": window.start, "end": window.end},
    )


def end_build(
    connection: psycopg.Connection,
    build_id: str,
    *,
    ok: bool,
    static_version: str | None = None,
    seeds_seen: str | None = None,
) -> None:
    """Record how the build ended; a good one marks the ingested days of its window as built, names the static nodes that it made and
    the rows of the seeds (`builds.standing.seeds_digest`), keeps the owner's lists of its marts (`ops.keep_lists`), and takes away the old
    builds of which nothing is left.
    """
    with connection.transaction():
        connection.execute(
            "update ops.builds set status = %(status)s, finished_at = clock_timestamp(),"
            "   static_version = case when %(ok)s then coalesce(%(static)s, static_version) else static_version end,"
            "   seeds_seen = coalesce(%(seeds)s, seeds_seen)"
            " where build_id = %(id)s",
            {
                "id": build_id,
                "status": "ok" if ok else "failed",
                "ok": ok,
                "static": static_version,
                "seeds": seeds_seen,
            },
        )
        if ok:
            connection.execute("select ops.keep_lists(%(id)s)", {"id": build_id})
            connection.execute(
                "update ops.source_days as days set built_at = builds.finished_at, built_as_of = (builds.as_of at time zone 'UTC')::date"
                " from ops.builds as builds where builds.build_id = %(id)s and days.usage_date >= builds.window_start"
                "   and days.usage_date < builds.window_end and days.ingested_at <= builds.started_at",
                {"id": build_id},
            )
            connection.execute("delete from ops.touched_days where build_id = %(id)s", {"id": build_id})
            connection.execute(
                "delete from ops.input_changes as changes using ops.builds as builds"
                " where builds.build_id = %(id)s and pg_visible_in_snapshot(changes.made_by, builds.inputs_seen)",
                {"id": build_id},
            )
            connection.execute(FORGOTTEN.encode(), {"days": KEPT_DAYS})


KEPT_DAYS = 30
"""How long builds are kept of which a later one has left nothing."""

# Builds of which a later good one of the same days has left nothing: it has replaced all that they wrote, so that every question about a
# day (which build was its last, was it built since then, is its proof of what stands there) finds the later one. The last of each window
# stays for ever, as do those by which a day says what it was computed with.
FORGOTTEN = """
delete from ops.builds as old
where
    old.finished_at < clock_timestamp() - %(days)s * interval '1 day'
    and exists (
        select
        from ops.builds as later
        where
            later.window_start = old.window_start
            and later.window_end = old.window_end
            and later.started_at > old.started_at
            and later.status = 'ok'
            -- One that found nothing to do has replaced nothing.
            and (later.stands_on is null or old.stands_on is not null)
            -- The latest day that a build knew of is known by a later one, whose clock was not ahead.
            and later.as_of >= old.as_of
            and (later.as_of at time zone 'UTC')::date <= (later.finished_at at time zone 'UTC')::date
    )
    and not exists (select from ops.built_days where built_days.build_id = old.build_id)
"""

# Days that stand as a build left them that did not end well: its first marts are made of them, the others are not. Days of closed months
# are none: no build changes the marts of their month, and once it is archived none would ever end well.
HALF_MADE = """
select days.usage_date
from ops.built_days as days
inner join ops.builds as builds on days.build_id = builds.build_id
where
    builds.status = any(%(statuses)s)
    and not exists (select from ops.closed_months where closed_months.month = to_char(days.usage_date, 'YYYY-MM'))
"""


def unfinished_days(connection: psycopg.Connection) -> Window | None:
    """Return the half-made days, from the first to the last; None where there is none. Call under the build lock, before `begin_build`: what
    runs then is dead.
    """
    first, last = connection.execute(
        f"select min(usage_date), max(usage_date) from ({HALF_MADE}) as half_made".encode(),
        {"statuses": ["failed", "running"]},
    ).fetchone() or (None, None)
    return Window.of_days(first, last) if first and last else None


def half_made_days(database_url: str) -> list[date]:
    """Return the half-made days of builds that are known to have failed. One that was killed is, from the next build's beginning on."""
    with psycopg.connect(database_url) as connection:
        rows = connection.execute(f"{HALF_MADE} order by 1".encode(), {"statuses": ["failed"]}).fetchall()
    return [day for (day,) in rows]


def touched_days(database_url: str) -> dict[date, list[str]]:
    """Return the days that events, or records of their events, were brought for since they were last built, with the loads that
    brought them.
    """
    with psycopg.connect(database_url) as connection:
        rows = connection.execute(
            "select usage_date, array_agg(load_id order by load_id) from ops.touched_days group by 1 order by 1"
        ).fetchall()
    return dict(rows)


def day_states(database_url: str) -> list[DayState]:
    """Return every recorded day."""
    with psycopg.connect(database_url) as connection:
        rows = connection.execute(
            "select provider, usage_date, ingested_at, built_at, built_as_of from ops.source_days"
        ).fetchall()
    return [DayState(*row) for row in rows]


def days_not_ingested(database_url: str, provider: str, window: Window) -> list[date]:
    """Return the window's days that the provider has not answered for, in whatever run."""
    with psycopg.connect(database_url) as connection:
        rows = connection.execute(
            "select day from unnest(%(days)s::date[]) as day where not exists ("
            " select from ops.source_days where provider = %(provider)s and usage_date = day and ingested_at is not null"
            ") order by day",
            {"provider": provider, "days": window.days()},
        ).fetchall()
    return [day for (day,) in rows]


def has_unbuilt_days(database_url: str, window: Window) -> bool:
    """Return whether a provider has answered for a day of the window that no build has taken in since."""
    with psycopg.connect(database_url) as connection:
        row = connection.execute(
            "select 1 from ops.source_days where usage_date >= %(start)s and usage_date < %(end)s"
            " and ingested_at is not null and built_at is null limit 1",
            {"start": window.start, "end": window.end},
        ).fetchone()
    return row is not None


def failures(database_url: str, load_id: str) -> Mapping[str, str]:
    """Return the providers that failed in one run, each with its one-line reason."""
    with psycopg.connect(database_url) as connection:
        rows = connection.execute(
            "select provider, error from ops.ingest_runs where load_id = %s and status = 'failed' order by provider",
            (load_id,),
        ).fetchall()
    return dict(rows)
