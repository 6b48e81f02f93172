"""What holds of the system itself, as the tables of `ops` and this host's spool say: a provider does not answer, a source is stale,
usage waits. What Dagster knows (failed runs and checks) is told by `orchestration/automation/operational_alerts.py`.

All are the operator's business, so they stand under `unattributed`, whom only root admins see.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg

from costs.alerts.rules import Condition
from ingestion.run import PROVIDERS
from usage_metering.spool import survey

NAME = "usage-metering"
"""What a message about the system is about, where one about a tenant has its name."""

# The nightly run reads every source; two hours are for a long one.
STALE_AFTER = timedelta(hours=26)
# Six hours are an outage, as for what Dagster shows as old (`orchestration/catalog/freshness.py`).
OUTAGE = timedelta(hours=6)
# A tracker flushes within seconds, and `late_events` builds within minutes: these have been missed many times over.
SPOOL_WAITS = timedelta(minutes=15)
EVENTS_WAIT = timedelta(hours=2)

# The newest attempt of each provider, the end of its last good one, and of the first failed one since. Skipped ones say nothing.
ATTEMPTS = """
with attempts as (
    select runs.provider, runs.status, runs.error, runs.finished_at, max(runs.finished_at) filter (where runs.status = 'ok')
        over (partition by runs.provider) as answered_at
    from ops.ingest_runs as runs
    where runs.provider = any(%(providers)s)
)

select distinct on (attempts.provider)
    attempts.provider,
    attempts.status,
    attempts.error,
    attempts.finished_at,
    attempts.answered_at,
    (
        select min(failed.finished_at) from ops.ingest_runs as failed
        where
            failed.provider = attempts.provider
            and failed.status = 'failed'
            and failed.finished_at > coalesce(attempts.answered_at, '-infinity')
    ) as failing_since
from attempts
order by attempts.provider, attempts.finished_at desc
"""

# Of days that a build takes: what a clock gone wrong wrote before or after them waits for nothing.
EVENTS = """
select count(distinct touched.usage_date), min(touched.usage_date), min(touched.touched_at)
from ops.touched_days as touched
where touched.usage_date between %(first_day)s and %(today)s
"""


def of_system(
    alert_type: str, severity: str, subject: str, message: str, details: dict[str, Any] | None = None
) -> Condition:
    """Return a condition of the system itself."""
    return Condition("unattributed", alert_type, severity, None, message, details or {}, NAME, subject)


def provider_conditions(connection: psycopg.Connection, now: datetime) -> list[Condition]:
    """Return the providers that did not answer when they were last asked, and the sources that nobody has asked for too long."""
    found = []
    for provider, status, error, finished_at, answered_at, failing_since in connection.execute(
        ATTEMPTS, {"providers": list(PROVIDERS)}
    ):
        if status == "failed":
            severity = "critical" if now - failing_since >= OUTAGE else "warning"
            message = f"{provider} has not answered since {_moment(failing_since)}: {_line(error)}"
            details = {"provider": provider, "since": failing_since.astimezone(UTC).isoformat()}
            found.append(of_system("provider", severity, provider, message, details))
        elif status == "ok" and now - finished_at > STALE_AFTER:
            message = f"{provider} was last read at {_moment(answered_at)}: is the schedule running?"
            details = {"provider": provider, "since": answered_at.astimezone(UTC).isoformat()}
            found.append(of_system("stale_source", "critical", provider, message, details))
    return found


def backlog_conditions(
    connection: psycopg.Connection, now: datetime, *, first_day: date, today: date, spool: Path | None
) -> list[Condition]:
    """Return what waits: events on this host's disk for the database, and stored ones for a build.

    The collector has no queue of its own: what it cannot store it refuses with 503, and its caller keeps it.

    Args:
        first_day: of what is built; what lies before it is not wanted.
        spool: this host's folder; None: there is none.
    """
    found = []
    waiting = [writer for writer in survey(spool) if writer.lines] if spool is not None else []
    oldest = min((writer.oldest_at for writer in waiting if writer.oldest_at is not None), default=None)
    if oldest is not None and now.timestamp() - oldest > SPOOL_WAITS.total_seconds():
        age = now - datetime.fromtimestamp(oldest, now.tzinfo)
        events = sum(writer.lines for writer in waiting)
        message = f"{_many(events, 'event')} on this host wait for the database, the oldest for {_age(age)}: see `metering events status`"
        found.append(
            of_system(
                "backlog", _worse(age), "spool", message, {"events": events, "ageSeconds": int(age.total_seconds())}
            )
        )
    row = connection.execute(EVENTS, {"first_day": first_day, "today": today}).fetchone()
    if row is not None and row[2] is not None and now - row[2] > EVENTS_WAIT:
        days, first, touched_at = row
        age = now - touched_at
        message = f"Events of {_many(days, 'day')} (from {first}) wait to be built, the oldest for {_age(age)}: see the last runs"
        found.append(
            of_system("backlog", _worse(age), "events", message, {"days": days, "firstDate": first.isoformat()})
        )
    return found


def _worse(age: timedelta) -> str:
    return "critical" if age >= OUTAGE else "warning"


def _many(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def _age(age: timedelta) -> str:
    minutes = round(age.total_seconds() / 60)
    return f"{minutes} minutes" if minutes < 120 else f"{minutes // 60} hours"


def _moment(at: datetime) -> str:
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


def _line(text: str | None) -> str:
    lines: Sequence[str] = (text or "").splitlines()
    return lines[0] if lines else "no reason is known"
