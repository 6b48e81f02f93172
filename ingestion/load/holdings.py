"""What an account holds (numbers, so far) is kept as a history: which days a complete listing adds to it and takes from it.

See docs/decisions/0015.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, timedelta

import psycopg
from psycopg import sql


@dataclass(frozen=True)
class Holding:
    """The days on which a thing was held, both included, and a digest of what else is known of it."""

    first: date
    last: date
    digest: str


Holdings = Mapping[tuple[str, str], Holding]
"""By account and sid."""


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


def _held(connection: psycopg.Connection, table: str, accounts: set[str]) -> Holdings:
    """Return each thing's days, as `int_twilio_number_days` makes them."""
    rows = connection.execute(
        sql.SQL(
            "select account_id, sid, held_from, greatest(coalesce(released_on - 1, last_seen_on), held_from),"
            "   md5((to_jsonb(t) - '{{load_id,loaded_at,last_seen_on,released_on}}'::text[])::text)"
            " from raw.{table} as t where account_id = any(%(accounts)s)"
        ).format(table=sql.Identifier(table)),
        {"accounts": list(accounts)},
    )
    return {(account, sid): Holding(*rest) for account, sid, *rest in rows}


def changed_days(before: Holdings, after: Holdings) -> set[date]:
    """Return the days on which something is held, or is something else, that was not; or no longer is."""
    spans = set()
    for key in before.keys() | after.keys():
        old, new = before.get(key), after.get(key)
        if old is None or new is None or old.digest != new.digest or old.first != new.first:
            spans |= {(holding.first, holding.last) for holding in (old, new) if holding is not None}
        elif old.last != new.last:
            spans.add((min(old.last, new.last) + timedelta(days=1), max(old.last, new.last)))
    return _days(spans)


def _days(spans: Iterable[tuple[date, date]]) -> set[date]:
    """Return the days of all spans; thousands of numbers held since the same years are gone through once."""
    found: set[date] = set()
    reached = date.min
    for first, last in sorted(spans):
        day = max(first, reached)
        found |= {day + timedelta(days=offset) for offset in range((last - day).days + 1)}
        reached = max(reached, last)
    return found
