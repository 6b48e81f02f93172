"""Alerts: which conditions hold, and what that means for the alerts that are open. The conditions' figures are the marts'."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any

import psycopg
from psycopg.types.json import Jsonb


@dataclass(frozen=True)
class Condition:
    """Something that holds now and that a person should know.

    Attributes:
        channel: None where it is about the tenant as a whole.
        details: figures behind the message, in the contract's camelCase.
    """

    tenant_id: str
    alert_type: str
    severity: str
    channel: str | None
    message: str
    details: dict[str, Any] = field(default_factory=dict, hash=False)


@dataclass(frozen=True)
class Settled:
    """What an evaluation changed: alerts opened, alerts resolved, and those that stay open."""

    opened: int
    resolved: int
    open: int


# The month before is still being settled with the providers; what is older is history.
DRIFT = """
select
    tenant_id,
    case service when 'twilio_sms' then 'sms' when 'twilio_voice' then 'voice' when 'openai' then 'ai' else 'email' end,
    count(*),
    max(date),
    max(drift_percent)
from marts.usage_reconciliation
where state = 'drift' and date >= date_trunc('month', %(today)s::date - interval '1 month')
group by 1, 2
order by 1, 2
"""


def drift_conditions(connection: psycopg.Connection, today: date) -> list[Condition]:
    """Return a condition per tenant and channel whose tracked usage differs from the provider's beyond the tolerance."""
    return [
        Condition(
            tenant_id,
            "drift",
            "warning",
            channel,
            f"Tracked usage differs from the provider's by up to {percent:.1f}% on {days} day{'s' if days > 1 else ''}, last on {last}",
            {"percentChange": float(percent), "days": days, "lastDate": last.isoformat()},
        )
        for tenant_id, channel, days, last, percent in connection.execute(DRIFT, {"today": today})
    ]


def settle(connection: psycopg.Connection, alert_types: Sequence[str], conditions: Sequence[Condition]) -> Settled:
    """Open an alert for each condition that has none open, and resolve the open ones whose condition has ended.

    Args:
        alert_types: the types that ``conditions`` is complete for; alerts of other types are left alone.
    """
    with connection.transaction():
        # Two evaluations at once would each see the other's alerts missing.
        connection.execute("select pg_advisory_xact_lock(hashtextextended('ops.usage_alerts', 0))")
        open_alerts = {
            (tenant, kind, severity, channel): number
            for number, tenant, kind, severity, channel in connection.execute(
                "select id, tenant_id, alert_type, severity, channel from ops.usage_alerts"
                " where resolved_at is null and alert_type = any(%s)",
                (list(alert_types),),
            )
        }
        holding = {(c.tenant_id, c.alert_type, c.severity, c.channel): c for c in conditions}
        new = [condition for key, condition in holding.items() if key not in open_alerts]
        with connection.cursor() as cursor:
            cursor.executemany(
                "insert into ops.usage_alerts (tenant_id, alert_type, severity, channel, message, details)"
                " values (%s, %s, %s, %s, %s, %s)",
                [(c.tenant_id, c.alert_type, c.severity, c.channel, c.message, Jsonb(c.details)) for c in new],
            )
        ended = [number for key, number in open_alerts.items() if key not in holding]
        connection.execute("update ops.usage_alerts set resolved_at = clock_timestamp() where id = any(%s)", (ended,))
    return Settled(len(new), len(ended), len(holding))
