"""The transaction that makes a load visible: answered units become what was answered, together with the record of it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime

import psycopg
from psycopg import sql
from psycopg.types.json import Jsonb

from ingestion.archived import archived_months, refuse_archived
from ingestion.database import is_spread
from ingestion.load.holdings import changed_days, holdings
from ingestion.load.records import (
    CAME,
    CHANGED,
    Staged,
    find_changes,
    stored_units,
    touch_event_days,
    write_changes,
    write_first,
)
from ingestion.load.staging import drop
from ingestion.load.unchanged import arrays, keep, unchanged_units
from ingestion.sources.reading import Reading, SourceSpec, Unit
from usage_metering.pii import Hasher

LONGEST_KEY = 500
# The key of a table's lock: of those who change its rows (swaps, `metering archive`), and of a close, which they must not overtake.
TABLE_KEY = "hashtextextended('raw.' || %s, 0)"


@dataclass(frozen=True)
class Swapped:
    """What a swap did: the answered units' rows by table, and the days beside the load's that it changed: those that lost a record to it,
    those of which a listing says otherwise what was held, and those of records that others now say something about.

    ``unchanged``: by table, how many of the units were answered with what is stored, and left as they stand.
    """

    rows: dict[str, int]
    moved_days: set[date]
    unchanged: dict[str, int] = field(default_factory=dict)


def swap(
    connection: psycopg.Connection,
    *,
    provider: str,
    spec: SourceSpec,
    reading: Reading,
    dataset: str,
    load_id: str,
    as_of_day: date,
    hasher: Hasher,
) -> Swapped:
    """Replace every answered unit by what the load holds of it, in one transaction, and drop the load; a unit of which it holds what is
    stored is left as it stands.

    Swaps of one table queue up behind each other; those of different tables do not meet.

    Raises:
        MonthArchived: a unit's month has been archived since it was asked for; nothing is changed.
    """
    rows: dict[str, int] = {}
    moved: set[date] = set()
    unchanged: dict[str, int] = {}
    with connection.transaction():
        # A month of messages is sorted by its key on the way in; on disk that takes twice as long.
        connection.execute("set local work_mem = '128MB'")
        # A row is written where it stands: for many of them the planner would rather read the whole table, however long its history.
        connection.execute("set local random_page_cost = 1.1")
        for table in sorted(spec.tables):
            connection.execute(f"select pg_advisory_xact_lock({TABLE_KEY})".encode(), (table,))
        # By now nobody can be archiving these tables.
        refuse_archived(archived_months(connection), (unit.usage_date for unit in reading.answered))
        for table in spec.tables:
            units = [unit for unit in reading.answered if unit.table == table]
            columns = _staged_columns(connection, dataset, table)
            if table in spec.held:
                accounts = reading.listings.get(table, set())
                before = holdings(connection, table)
                rows[table] = _note_holdings(connection, table, dataset, columns, accounts, load_id, as_of_day)
                moved |= _read_before(connection, spec, changed_days(before, holdings(connection, table)))
            else:
                load = Staged(table, dataset, columns, spec.keyed.get(table, ()))
                replace = _replace_records if load.keys else _replace_units
                replaced = replace(connection, spec, load, units, load_id)
                unchanged[table] = replaced.unchanged
                moved |= replaced.days
                if _note_changes(connection, table, units, replaced.left, load_id):
                    _begin_run(connection, provider, load_id, reading.answered)
            _reject(connection, table, units, reading, load_id, hasher)
            count = _record(connection, provider, table, units, reading, load_id, by_day=table not in spec.held)
            rows.setdefault(table, count)
        _unmark(connection, provider, moved)
        drop(connection, dataset)
    return Swapped(rows, moved, unchanged)


@dataclass(frozen=True)
class _Replaced:
    """How many units were left as they stood, the records that left another unit for one of these, with that unit's day, and the days
    beside the units' that were changed.
    """

    unchanged: int
    left: list[tuple[str, date]] = field(default_factory=list)
    days: set[date] = field(default_factory=set)


def _replace_units(
    connection: psycopg.Connection, spec: SourceSpec, load: Staged, units: list[Unit], load_id: str
) -> _Replaced:
    """Delete the units that say something else than what is staged, and insert what is."""
    table, dataset, columns = load.table, load.dataset, load.columns
    same = unchanged_units(connection, table, dataset, columns, units, spec.counted_at.get(table))
    if sum(same.values()) and not keep(connection, table, dataset, same):
        columns = []
    changed = [unit for unit in units if unit not in same]
    if changed:
        _delete(connection, table, changed)
    if columns:
        _insert(connection, table, dataset, columns, load_id)
    return _Replaced(len(same))


def _replace_records(
    connection: psycopg.Connection, spec: SourceSpec, load: Staged, units: list[Unit], load_id: str
) -> _Replaced:
    """Write the records of which the units and what is staged say different things."""
    # Citus cannot ask unit by unit.
    if load.columns and not is_spread() and not stored_units(connection, load.table, units):
        days = _told_of_others(connection, spec, load)
        left = write_first(connection, load, load_id)
        touch_event_days(connection, left, load_id, load.fill(CAME))
        same = set(units) - stored_units(connection, load.table, units)
        return _Replaced(len(same), left, days | {day for _, day in left})
    changed = find_changes(connection, load, units)
    same = set(units) - changed
    if not changed:
        return _Replaced(len(same))
    if load.columns and load.table in spec.others:
        keep(connection, load.table, load.dataset, same)
    days = _told_of_others(connection, spec, load)
    left = write_changes(connection, load, load_id)
    touch_event_days(connection, left, load_id, load.fill(CHANGED))
    return _Replaced(len(same), left, days | {day for _, day in left})


def _told_of_others(connection: psycopg.Connection, spec: SourceSpec, load: Staged) -> set[date]:
    """Return the days that what is staged says something new about; see `SourceSpec.others`."""
    if not load.columns or load.table not in spec.others:
        return set()
    query = sql.SQL(spec.others[load.table]).format(dataset=sql.Identifier(load.dataset), stored=load.stored_alike())
    return {day for (day,) in connection.execute(query)}


def record_run(
    connection: psycopg.Connection,
    *,
    provider: str,
    load_id: str,
    window: tuple[date, date],
    started_at: datetime,
    status: str,
    error: str | None,
) -> None:
    """Record how a provider's attempt at a window ended."""
    connection.execute(
        "insert into ops.ingest_runs (load_id, provider, window_start, window_end, started_at, finished_at, status, error)"
        " values (%s, %s, %s, %s, %s, clock_timestamp(), %s, %s)"
        " on conflict (load_id, provider) do update set window_start = excluded.window_start, window_end = excluded.window_end,"
        "   finished_at = excluded.finished_at, status = excluded.status, error = excluded.error",
        (load_id, provider, *window, started_at, status, error),
    )


def _staged_columns(connection: psycopg.Connection, dataset: str, table: str) -> list[str]:
    """Return the columns of the load that `raw` has too, in order; none where the load has no such table."""
    rows = connection.execute(
        "select staged.attname from pg_attribute as staged"
        " inner join pg_attribute as landing on landing.attrelid = %s::regclass and landing.attname = staged.attname"
        " where staged.attrelid = to_regclass(format('%%I.%%I', %s::text, %s::text))"
        "   and staged.attnum > 0 and not staged.attisdropped order by staged.attnum",
        (f"raw.{table}", dataset, table),
    ).fetchall()
    return [name for (name,) in rows]


def _delete(connection: psycopg.Connection, table: str, units: list[Unit]) -> None:
    connection.execute(
        sql.SQL(
            "delete from raw.{table} as t using unnest(%(accounts)s::text[], %(days)s::date[]) as unit (account_id, usage_date)"
            " where t.usage_date = unit.usage_date and t.account_id = unit.account_id"
        ).format(table=sql.Identifier(table)),
        arrays(units),
    )


def _note_changes(
    connection: psycopg.Connection, table: str, units: list[Unit], left: list[tuple[str, date]], load_id: str
) -> int:
    """Have the database note which records of closed months are not what they were when their month was closed; return
    how many. Where no month is closed this is one look at an empty table.
    """
    noted = connection.execute(
        "select ops.note_record_changes(%(table)s, %(accounts)s::text[], %(days)s::date[], %(keys)s::text[], %(left)s::date[], %(load_id)s)",
        {
            "table": table,
            **arrays(units),
            "keys": [key for key, _ in left],
            "left": [day for _, day in left],
            "load_id": load_id,
        },
    ).fetchone()
    return int(noted[0]) if noted else 0


def _begin_run(connection: psycopg.Connection, provider: str, load_id: str, answered: Iterable[Unit]) -> None:
    """Record the run that has changed a closed month now: what it noted names it, also where it is killed before its end."""
    days = [unit.usage_date for unit in answered]
    connection.execute(
        "insert into ops.ingest_runs (load_id, provider, window_start, window_end, started_at, finished_at, status, error)"
        " values (%s, %s, %s, %s::date + 1, clock_timestamp(), clock_timestamp(), 'failed', 'interrupted before its end')"
        " on conflict (load_id, provider) do update set window_start = least(ingest_runs.window_start, excluded.window_start),"
        "   window_end = greatest(ingest_runs.window_end, excluded.window_end)",
        (load_id, provider, min(days), max(days)),
    )


def _unmark(connection: psycopg.Connection, provider: str, days: set[date]) -> None:
    """Days whose data are others now need building again, by a build that begins after this. Recorded with the change itself: a process that
    is killed right after it has recorded it, too.
    """
    connection.execute(
        "update ops.source_days set built_at = null, built_as_of = null,"
        " ingested_at = case when ingested_at is not null then clock_timestamp() end"
        " where provider = %(provider)s and usage_date = any(%(days)s::date[])",
        {"provider": provider, "days": sorted(days)},
    )


def _insert(connection: psycopg.Connection, table: str, dataset: str, columns: Sequence[str], load_id: str) -> None:
    query = sql.SQL(
        "insert into raw.{table} ({names}, load_id) select {names}, %(load_id)s from {dataset}.{table}"
    ).format(
        table=sql.Identifier(table),
        names=sql.SQL(", ").join(map(sql.Identifier, columns)),
        dataset=sql.Identifier(dataset),
    )
    connection.execute(query, {"load_id": load_id})


def _note_holdings(
    connection: psycopg.Connection,
    table: str,
    dataset: str,
    columns: list[str],
    accounts: set[str],
    load_id: str,
    as_of_day: date,
) -> int:
    """Note what the answered accounts hold on the as-of day; what is gone from a complete listing is released on it.

    A listing says nothing about days before today but since when each thing is held, so no row is ever deleted. What comes
    from another account of ours is held from the day on which it is first seen there.
    """
    listed: sql.Composable = sql.SQL("")
    count = 0
    if columns:
        names = sql.SQL(", ").join(map(sql.Identifier, columns))
        details = [sql.Identifier(name) for name in columns if name not in ("account_id", "sid")]
        connection.execute(
            sql.SQL(
                "insert into raw.{table} as t ({names}, held_from, last_seen_on, load_id)"
                " select distinct on (staged.account_id, staged.sid) {names},"
                "   case when exists (select 1 from raw.{table} as other where other.sid = staged.sid)"
                "     then %(day)s else coalesce((staged.date_created at time zone 'UTC')::date, %(day)s) end,"
                "   %(day)s, %(load_id)s"
                " from {dataset}.{table} as staged order by staged.account_id, staged.sid"
                " on conflict (account_id, sid) do update set {updates}, load_id = excluded.load_id, loaded_at = now(),"
                "   last_seen_on = greatest(t.last_seen_on, excluded.last_seen_on), released_on = null"
                # What is listed as before stays as it is, to the row.
                " where t.last_seen_on < excluded.last_seen_on or t.released_on is not null or ({before}) is distinct from ({now})"
            ).format(
                table=sql.Identifier(table),
                names=names,
                dataset=sql.Identifier(dataset),
                updates=sql.SQL(", ").join(sql.SQL("{0} = excluded.{0}").format(name) for name in details),
                before=sql.SQL(", ").join(sql.SQL("t.{}").format(name) for name in details),
                now=sql.SQL(", ").join(sql.SQL("excluded.{}").format(name) for name in details),
            ),
            {"load_id": load_id, "day": as_of_day},
        )
        staged = sql.Identifier(dataset, table)
        row = connection.execute(sql.SQL("select count(distinct (account_id, sid)) from {}").format(staged)).fetchone()
        count = row[0] if row else 0
        listed = sql.SQL(
            " and not exists (select from {} as staged where staged.account_id = t.account_id and staged.sid = t.sid)"
        ).format(staged)
    connection.execute(
        sql.SQL(
            "update raw.{table} as t set released_on = %(day)s where account_id = any(%(accounts)s)"
            " and released_on is null and last_seen_on <= %(day)s{listed}"
        ).format(table=sql.Identifier(table), listed=listed),
        {"day": as_of_day, "accounts": list(accounts)},
    )
    return count


def _read_before(connection: psycopg.Connection, spec: SourceSpec, days: set[date]) -> set[date]:
    """Return those of ``days`` that the provider has answered for before: the others have never been built."""
    rows = connection.execute(
        "select distinct usage_date from ops.source_reads where table_name = any(%s) and usage_date = any(%s::date[])",
        (list(spec.tables), sorted(days)),
    )
    return {day for (day,) in rows}


def _reject(
    connection: psycopg.Connection,
    table: str,
    units: list[Unit],
    reading: Reading,
    load_id: str,
    hasher: Hasher,
) -> None:
    connection.execute(
        "delete from raw.rejected_records as t"
        " using unnest(%(accounts)s::text[], %(days)s::date[]) as unit (account_id, usage_date)"
        " where t.table_name = %(table)s and t.usage_date = unit.usage_date and t.account_id = unit.account_id",
        {"table": table, **arrays(units)},
    )
    rejected = [(unit, entry) for unit, entry in reading.rejected if unit.table == table]
    with connection.cursor() as cursor:
        cursor.executemany(
            "insert into raw.rejected_records (table_name, account_id, usage_date, record_key, reason, record, load_id)"
            " values (%s, %s, %s, %s, %s, %s, %s)",
            [
                (
                    table,
                    unit.account_id,
                    unit.usage_date,
                    _key(entry.record, hasher),
                    str(hasher.scrub(entry.reason)),
                    Jsonb(_content(entry.record, hasher)),
                    load_id,
                )
                for unit, entry in rejected
            ],
        )


def _content(record: object, hasher: Hasher) -> object:
    """Return what is kept of a record. One without fields may be a message's text: only its kind and size are."""
    if isinstance(record, dict):
        return hasher.scrub(record)
    size = f" of {len(record)}" if isinstance(record, (str, list)) else ""
    return f"(a {type(record).__name__}{size}, not kept)"


def _key(record: object, hasher: Hasher) -> str | None:
    ids = (record.get("sid"), record.get("id")) if isinstance(record, dict) else ()
    return next((str(hasher.scrub(key))[:LONGEST_KEY] for key in ids if isinstance(key, str)), None)


def _record(
    connection: psycopg.Connection,
    provider: str,
    table: str,
    units: list[Unit],
    reading: Reading,
    load_id: str,
    *,
    by_day: bool,
) -> int:
    """Record each answered unit with the rows that `raw` now has of it; return their number."""
    counts: sql.Composable = sql.SQL(
        "(select count(*) from raw.{table} as t where t.account_id = unit.account_id{on_the_day})"
    ).format(
        table=sql.Identifier(table),
        on_the_day=sql.SQL(" and t.usage_date = unit.usage_date" if by_day else ""),
    )
    counted: sql.Composable = sql.SQL("")
    if by_day and is_spread():
        # Citus answers no question that is asked again for each unit.
        counted = sql.SQL(
            "with counted as materialized (select account_id, usage_date, count(*) as rows from raw.{table}"
            " where account_id = any(%(accounts)s) and usage_date = any(%(days)s::date[]) group by account_id, usage_date) "
        ).format(table=sql.Identifier(table))
        counts = sql.SQL(
            "coalesce((select rows from counted as t where t.account_id = unit.account_id and t.usage_date = unit.usage_date), 0)"
        )
    recorded = connection.execute(
        sql.SQL(
            "{counted}insert into ops.source_reads (table_name, account_id, usage_date, provider, load_id, answered_at, row_count, rejected_count)"
            " select %(table)s, unit.account_id, unit.usage_date, %(provider)s, %(load_id)s, clock_timestamp(), {counts}, unit.rejected"
            " from unnest(%(accounts)s::text[], %(days)s::date[], %(rejected)s::bigint[]) as unit (account_id, usage_date, rejected)"
            " on conflict (table_name, account_id, usage_date) do update set provider = excluded.provider, load_id = excluded.load_id,"
            "   answered_at = excluded.answered_at, row_count = excluded.row_count, rejected_count = excluded.rejected_count"
            " returning row_count"
        ).format(counts=counts, counted=counted),
        {
            "table": table,
            "provider": provider,
            "load_id": load_id,
            "rejected": [reading.answered[unit] for unit in units],
            **arrays(units),
        },
    )
    return sum(count for (count,) in recorded)
