"""What an account holds (numbers, so far) is kept as a history: which days a complete listing adds to it and takes from it.

See docs/decisions/0015.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, timedelta

import psycopg
from psycopg import sql

Holding = tuple[str, str]
"""Account and sid."""

Days = tuple[date, date]
"""The first and the last day, both included."""


def note_holdings(
    connection: psycopg.Connection,
    table: str,
    dataset: str,
    columns: list[str],
    accounts: set[str],
    load_id: str,
    as_of_day: date,
) -> tuple[int, set[date]]:
    """Note what the answered accounts hold on the as-of day; what is gone from a complete listing is released on it.

    A listing says nothing about days before today but since when each thing is held, so no row is ever deleted. What comes
    from another account of ours is held from the day on which it is first seen there.

    Returns:
        How many things were listed, and the days on which something is held that was not, or is not that was.
    """
    before = _held(connection, table, accounts)
    count = 0
    if columns:
        names = sql.SQL(", ").join(map(sql.Identifier, columns))
        updates = sql.SQL(", ").join(
            sql.SQL("{name} = excluded.{name}").format(name=sql.Identifier(name))
            for name in columns
            if name not in ("account_id", "sid")
        )
        count = connection.execute(
            sql.SQL(
                "insert into raw.{table} as t ({names}, held_from, last_seen_on, load_id)"
                " select distinct on (staged.account_id, staged.sid) {names},"
                "   case when exists (select 1 from raw.{table} as other where other.sid = staged.sid)"
                "     then %(day)s else coalesce((staged.date_created at time zone 'UTC')::date, %(day)s) end,"
                "   %(day)s, %(load_id)s"
                " from {dataset}.{table} as staged order by staged.account_id, staged.sid"
                " on conflict (account_id, sid) do update set {updates}, load_id = excluded.load_id, loaded_at = now(),"
                "   last_seen_on = greatest(t.last_seen_on, excluded.last_seen_on), released_on = null"
            ).format(table=sql.Identifier(table), names=names, dataset=sql.Identifier(dataset), updates=updates),
            {"load_id": load_id, "day": as_of_day},
        ).rowcount
    connection.execute(
        sql.SQL(
            "update raw.{table} set released_on = %(day)s where account_id = any(%(accounts)s) and load_id <> %(load_id)s"
            " and released_on is null and last_seen_on <= %(day)s"
        ).format(table=sql.Identifier(table)),
        {"day": as_of_day, "accounts": list(accounts), "load_id": load_id},
    )
    return count, changed_days(before, _held(connection, table, accounts))


def _held(connection: psycopg.Connection, table: str, accounts: set[str]) -> dict[Holding, Days]:
    """Return each thing's days, as `int_twilio_number_days` makes them."""
    rows = connection.execute(
        sql.SQL(
            "select account_id, sid, held_from, greatest(coalesce(released_on - 1, last_seen_on), held_from)"
            " from raw.{table} where account_id = any(%(accounts)s)"
        ).format(table=sql.Identifier(table)),
        {"accounts": list(accounts)},
    ).fetchall()
    return {(account, sid): (first, last) for account, sid, first, last in rows}


def changed_days(before: Mapping[Holding, Days], after: Mapping[Holding, Days]) -> set[date]:
    """Return the days that some holding has in only one of the two."""
    changes = {(before.get(holding), days) for holding, days in after.items() if before.get(holding) != days}
    return {day for was, now in changes for day in _days(was) ^ _days(now)}


def _days(span: Days | None) -> set[date]:
    if span is None:
        return set()
    first, last = span
    return {first + timedelta(days=number) for number in range((last - first).days + 1)}
