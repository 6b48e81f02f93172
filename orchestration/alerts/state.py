"""The life of an alert: opened when its condition begins, sent again every 24 hours, resolved when it ends."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import psycopg
from psycopg.types.json import Jsonb

from orchestration.alerts import outbox

ALERT_TYPES = ("threshold", "spike", "anomaly", "cap", "unpriced", "drift")


@dataclass(frozen=True)
class Condition:
    """Something that holds now and that a person should know.

    Attributes:
        channel: None where it is about the tenant as a whole.
        details: figures behind the message, in the contract's camelCase; money in cents.
    """

    tenant_id: str
    alert_type: str
    severity: str
    channel: str | None
    message: str
    details: dict[str, Any] = field(default_factory=dict, hash=False)


@dataclass(frozen=True)
class Settled:
    """What an evaluation changed: alerts opened and resolved, those that stay open, and messages put into the outbox."""

    opened: int
    resolved: int
    open: int
    queued: int = 0


def settle(
    connection: psycopg.Connection,
    alert_types: Sequence[str],
    conditions: Sequence[Condition],
    *,
    media: Sequence[str] = (),
    now: datetime | None = None,
) -> Settled:
    """Open an alert for each condition that has none open, resolve the open ones whose condition has ended, and queue
    what is to be sent, all in one transaction: what was decided is sent, whatever happens next.

    An alert that stays open keeps its first message and gets the latest details.

    Args:
        alert_types: the types that ``conditions`` is complete for; alerts of other types are left alone.
        media: where critical alerts go (``sms``, ``email``).
        now: the time of the evaluation, for the 24 hours; default: the clock.
    """
    now = now or datetime.now(UTC)
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
        ended = [number for key, number in open_alerts.items() if key not in holding]
        with connection.cursor() as cursor:
            cursor.executemany(
                "insert into ops.usage_alerts (tenant_id, alert_type, severity, channel, message, details, created_at)"
                " values (%s, %s, %s, %s, %s, %s, %s)",
                [(c.tenant_id, c.alert_type, c.severity, c.channel, c.message, Jsonb(c.details), now) for c in new],
            )
            cursor.executemany(
                "update ops.usage_alerts set details = %s where id = %s and details <> %s",
                [
                    (Jsonb(holding[key].details), number, Jsonb(holding[key].details))
                    for key, number in open_alerts.items()
                    if key in holding
                ],
            )
        connection.execute("update ops.usage_alerts set resolved_at = %s where id = any(%s)", (now, ended))
        queued = outbox.queue(connection, media, now)
    return Settled(len(new), len(ended), len(holding), queued)
