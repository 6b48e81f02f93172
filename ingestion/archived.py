"""Which months are archived: their records are in files (`metering archive`), so what stands in `raw` of them is not what was used.

Whoever would read such a month's days from `raw`, or bring new records of them, asks here first.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from datetime import date, timedelta

import psycopg

from ingestion.failures import MonthArchived


def archived_months(connection: psycopg.Connection) -> frozenset[str]:
    """Return the archived months, as ``2026-03``. ``connection`` may be the owner's or the loader's."""
    return frozenset(month for (month,) in connection.execute("select month from ops.archived_months"))


def months_of(database_url: str) -> frozenset[str]:
    """As `archived_months`, for who has no connection."""
    with psycopg.connect(database_url) as connection:
        return archived_months(connection)


def is_archived(day: date, months: Collection[str]) -> bool:
    """Return whether ``day`` is of one of ``months``."""
    return f"{day:%Y-%m}" in months


def month_after(month: str) -> date:
    """Return the first day after a month such as ``2026-03``."""
    return (date.fromisoformat(f"{month}-01") + timedelta(days=31)).replace(day=1)


def refuse_archived(months: frozenset[str], days: Iterable[date]) -> None:
    """Do nothing where none of ``days`` is of an archived month.

    Raises:
        MonthArchived: naming the months and the command that brings them back.
    """
    found = sorted({f"{day:%Y-%m}" for day in days} & months)
    if found:
        names = f"{', '.join(found)} {'is' if len(found) == 1 else 'are'} archived"
        raise MonthArchived(f"{names}: run `metering restore {' '.join(found)}` first")
