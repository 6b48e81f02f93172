"""Days that a provider is about to forget before they were ingested: what no later run can bring back."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta

import psycopg

from costs.alerts.rules import Condition
from ingestion.run import PROVIDERS
from ingestion.sources.reading import SourceSpec

WARNED_DAYS = 3
"""A day is about to expire when it can be asked for on so many days only, today included."""

# Read while the day was still going on is not read: what came after is missing. A day counts once all tables have answered.
UNREAD = """
select day::date
from generate_series(%(first)s::timestamp, %(last)s::timestamp, interval '1 day') as day
where (
    select count(distinct reads.table_name)
    from ops.source_reads as reads
    where
        reads.usage_date = day::date
        and reads.table_name = any(%(tables)s)
        and reads.answered_at >= (day + interval '1 day') at time zone 'UTC'
) < %(count)s
order by day
"""


@dataclass(frozen=True)
class Expiring:
    """A provider's days, first to last, that it is about to forget; the first can be asked for until ``until``, included."""

    provider: str
    days: tuple[date, ...]
    until: date

    @property
    def message(self) -> str:
        """What is about to be lost, and what to do."""
        first, last = self.days[0], self.days[-1]
        many = f"{len(self.days)} days ({first} to {last})" if len(self.days) > 1 else f"{first}"
        return (
            f"{self.provider} keeps {many} until {self.until} only, and it is not ingested: "
            f"run `metering rebuild --from {first} --to {last}`"
        )


def about_to_expire(spec: SourceSpec, today: date, first_day: date) -> tuple[date, date] | None:
    """Return the first and the last day that can be asked for on at most `WARNED_DAYS` more days; None: there is none."""
    if spec.retention_days is None:
        return None
    oldest = today - timedelta(days=spec.retention_days)
    first, last = max(oldest, first_day), min(oldest + timedelta(days=WARNED_DAYS - 1), today - timedelta(days=1))
    return (first, last) if first <= last else None


def expiring(
    connection: psycopg.Connection, today: date, first_day: date, environ: Mapping[str, str] = os.environ
) -> list[Expiring]:
    """Return the providers with credentials that have days which will soon be lost.

    Args:
        first_day: METERING_START_DATE; what lies before it is not wanted.
    """
    providers = []
    for provider, spec in PROVIDERS.items():
        days = about_to_expire(spec, today, first_day)
        if days is None or not all(environ.get(variable) for variable in spec.required_variables):
            continue
        rows = connection.execute(
            UNREAD, {"first": days[0], "last": days[1], "tables": list(spec.tables), "count": len(spec.tables)}
        ).fetchall()
        if rows:
            unread = tuple(day for (day,) in rows)
            providers.append(Expiring(provider, unread, unread[0] + timedelta(days=spec.retention_days or 0)))
    return providers


def retention_conditions(connection: psycopg.Connection, today: date, first_day: date) -> list[Condition]:
    """Return a critical condition per provider: its figures are about to differ from ours for good."""
    return [
        Condition(
            "unattributed",
            "drift",
            "critical",
            CHANNELS.get(one.provider),
            one.message,
            {
                "provider": one.provider,
                "days": len(one.days),
                "lastDate": one.days[-1].isoformat(),
                "until": one.until.isoformat(),
            },
            subject=f"{one.provider} retention",
        )
        for one in expiring(connection, today, first_day)
    ]


CHANNELS = {"cloudflare": "storage_ops"}
"""The channel that an alert about a provider stands under."""
