"""What a table of things that are held (a number of an account) says about days, and which of them a listing has changed. Pure but for one query."""

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
"""By account and id."""


def holdings(connection: psycopg.Connection, table: str) -> Holdings:
    """Return all rows of a table of `raw` that has the columns held_from, last_seen_on and released_on."""
    rows = connection.execute(
        sql.SQL(
            "select account_id, sid, held_from, greatest(coalesce(released_on - 1, last_seen_on), held_from),"
            "   md5((to_jsonb(t) - '{{load_id,loaded_at,last_seen_on,released_on}}'::text[])::text)"
            " from raw.{table} as t"
        ).format(table=sql.Identifier(table))
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
    days: set[date] = set()
    reached = date.min
    for first, last in sorted(spans):
        day = max(first, reached)
        days |= {day + timedelta(days=offset) for offset in range((last - day).days + 1)}
        reached = max(reached, last)
    return days
