"""Which answered units say what is stored already: they are left as they stand.

Nothing is remembered for this: what is staged is held against what is stored, so a row that was changed by hand, restored or rewritten
by a migration is what it is, and a unit that says otherwise is replaced.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import psycopg
from psycopg import sql

from ingestion.sources.reading import Unit

# What a load says of itself, not of its records.
OF_THE_LOAD = ("load_id", "loaded_at")


def unchanged_units(
    connection: psycopg.Connection,
    table: str,
    dataset: str,
    columns: Sequence[str],
    units: Iterable[Unit],
    counted_at: str | None = None,
) -> dict[Unit, int]:
    """Return the units whose staged rows are the stored ones, with their number of rows; ``columns`` are those that are staged, none
    where the load has no such table.

    Rows are compared only where both sides have as many: a first load, or a day that has grown, costs a count. ``counted_at``: see
    `SourceSpec`.
    """
    counts = _counts(connection, table, dataset if columns else None, list(units))
    same = {unit: 0 for unit, (stored, staged) in counts.items() if stored == staged == 0}
    doubtful = [unit for unit, (stored, staged) in counts.items() if stored == staged > 0]
    if doubtful:
        same |= {unit: counts[unit][0] for unit in _equal(connection, table, dataset, columns, doubtful, counted_at)}
    return same


def keep(connection: psycopg.Connection, table: str, dataset: str, units: Iterable[Unit]) -> bool:
    """Take the units' rows out of what is staged; return whether there are others."""
    connection.execute(
        sql.SQL(
            "delete from {staged} as t using unnest(%(accounts)s::text[], %(days)s::date[]) as unit (account_id, usage_date)"
            " where t.usage_date = unit.usage_date and t.account_id = unit.account_id"
        ).format(staged=sql.Identifier(dataset, table)),
        arrays(units),
    )
    row = connection.execute(
        sql.SQL("select exists (select from {staged})").format(staged=sql.Identifier(dataset, table))
    ).fetchone()
    return bool(row and row[0])


def arrays(units: Iterable[Unit]) -> dict[str, list[Any]]:
    """Return the units as two arrays of a query: ``accounts`` and ``days``."""
    listed = list(units)
    return {"accounts": [unit.account_id for unit in listed], "days": [unit.usage_date for unit in listed]}


def content_columns(connection: psycopg.Connection, table: str) -> list[tuple[str, str]]:
    """Return the columns of a landing table that say something of its records, each with its type."""
    return connection.execute(
        "select attname, format_type(atttypid, atttypmod) from pg_attribute"
        " where attrelid = %s::regclass and attnum > 0 and not attisdropped and attname <> all(%s) order by attnum",
        (f"raw.{table}", list(OF_THE_LOAD)),
    ).fetchall()


def staged_value(name: str, kind: str, columns: Sequence[str], alias: str | None = None) -> sql.Composable:
    """Return what a staged row says of a landing column; one that is not among the staged ``columns`` is null."""
    if name not in columns:
        return sql.SQL("null::{}").format(sql.SQL(kind))
    return sql.SQL("{}::{}").format(sql.Identifier(*filter(None, [alias, name])), sql.SQL(kind))


def _counts(
    connection: psycopg.Connection, table: str, dataset: str | None, units: list[Unit]
) -> dict[Unit, tuple[int, int]]:
    """Return how many rows of each unit are stored, and staged."""
    staged: sql.Composable = sql.SQL("select null::text, null::date, 0::bigint where false")
    if dataset:
        staged = sql.SQL("select account_id, usage_date, count(*) from {} group by account_id, usage_date").format(
            sql.Identifier(dataset, table)
        )
    rows = connection.execute(
        sql.SQL(
            "with units as (select * from unnest(%(accounts)s::text[], %(days)s::date[]) as unit (account_id, usage_date)),"
            " stored as (select account_id, usage_date, count(*) as rows from {table} inner join units using (account_id, usage_date)"
            "   group by account_id, usage_date),"
            " staged (account_id, usage_date, rows) as ({staged})"
            " select account_id, usage_date, coalesce(stored.rows, 0), coalesce(staged.rows, 0) from units"
            " left join stored using (account_id, usage_date) left join staged using (account_id, usage_date)"
        ).format(table=sql.Identifier("raw", table), staged=staged),
        arrays(units),
    )
    return {Unit(table, account, day): (stored, staged) for account, day, stored, staged in rows}


def _equal(
    connection: psycopg.Connection,
    table: str,
    dataset: str,
    columns: Sequence[str],
    units: list[Unit],
    counted_at: str | None,
) -> list[Unit]:
    """Return the units of which both sides have the same rows, by a digest of what they say, in whatever order.

    A column that was not staged would be stored as null. Values are hashed as they are: as text, a row costs three times that. A row's
    hash is hashed once more, for PostgreSQL's is a sum over its columns: two rows that exchange a value would add up to the same.
    """
    says = content_columns(connection, table)

    def content(value: Callable[[str, str], sql.Composable]) -> sql.Composed:
        of_columns = [
            sql.SQL("({} at time zone 'UTC')::date > usage_date" if name == counted_at else "{}").format(
                value(name, kind)
            )
            for name, kind in says
        ]
        return sql.SQL(", ").join(of_columns)

    stored = content(lambda name, _: sql.Identifier(name))
    staged = content(lambda name, kind: staged_value(name, kind, columns))
    digests = sql.SQL(
        "select account_id, usage_date, sum(hashint8extended(hash_record_extended(row({content}), 0), 0)) as digest from {table}"
        " inner join units using (account_id, usage_date) group by account_id, usage_date"
    )
    rows = connection.execute(
        sql.SQL(
            "with units as (select * from unnest(%(accounts)s::text[], %(days)s::date[]) as unit (account_id, usage_date)),"
            " stored as ({stored}), staged as ({staged})"
            " select account_id, usage_date from stored inner join staged using (account_id, usage_date, digest)"
        ).format(
            stored=digests.format(content=stored, table=sql.Identifier("raw", table)),
            staged=digests.format(content=staged, table=sql.Identifier(dataset, table)),
        ),
        arrays(units),
    )
    return [Unit(table, account, day) for account, day in rows]
