"""What an evaluation means for the alerts: opened, kept with today's figures, resolved; and what is to be sent of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import psycopg
from psycopg.types.json import Jsonb

from costs.alerts.rules import Condition

AGAIN_AFTER = timedelta(hours=24)


@dataclass(frozen=True)
class Settled:
    """What an evaluation changed: alerts opened, alerts resolved, those that stay open, and messages to be sent."""

    opened: int
    resolved: int
    open: int
    queued: int = 0


# A message per medium for each open critical alert that nobody has acknowledged, unless one of it waits already or one went
# out less than a day ago: that about the same thing (tenant, type, severity, channel), not the same alert, for a condition
# that comes and goes makes new alerts. It counts from when it was sent, or may have been.
QUEUE = """
insert into ops.alert_outbox (alert_id, round, medium, idempotency_id, tenant_name, body, created_at, next_attempt_at)
select
    alerts.id,
    before.rounds + 1,
    media.medium,
    format('alert-%%s-%%s-%%s', alerts.id, before.rounds + 1, media.medium),
    names.name,
    format('⚠️ Usage Alert for %%s: %%s', names.name, alerts.message),
    %(now)s,
    %(now)s
from ops.usage_alerts as alerts
inner join unnest(%(ids)s::bigint[], %(names)s::text[]) as names (id, name) on names.id = alerts.id
cross join (values ('sms'), ('email')) as media (medium)
cross join lateral (
    select
        count(*) filter (where outbox.alert_id = alerts.id) as rounds,
        coalesce(bool_or(outbox.state = 'waiting' and outbox.alert_id = alerts.id), false) as waits,
        max(coalesce(outbox.sent_at, case when outbox.doubts > 0 then outbox.attempted_at end)) as last
    from ops.alert_outbox as outbox
    inner join ops.usage_alerts as earlier on earlier.id = outbox.alert_id
    where
        outbox.medium = media.medium
        and earlier.tenant_id = alerts.tenant_id
        and earlier.alert_type = alerts.alert_type
        and earlier.severity = alerts.severity
        and earlier.channel is not distinct from alerts.channel
) as before
where
    alerts.severity = 'critical'
    and alerts.resolved_at is null
    and not alerts.acknowledged
    and not before.waits
    and (before.last is null or before.last <= %(now)s - %(again)s)
"""

# The newest message about a thing says what the ones before it would have said. One that may have arrived stays: it is
# what the day counts from, and it ends as sent.
SUPERSEDE = """
update ops.alert_outbox as outbox
set state = 'withdrawn'
from ops.usage_alerts as alerts
where
    alerts.id = outbox.alert_id
    and outbox.state = 'waiting'
    and outbox.doubts = 0
    and exists (
        select 1
        from ops.alert_outbox as newer
        inner join ops.usage_alerts as later on later.id = newer.alert_id
        where
            newer.medium = outbox.medium
            and newer.state = 'waiting'
            and newer.alert_id > outbox.alert_id
            and later.tenant_id = alerts.tenant_id
            and later.alert_type = alerts.alert_type
            and later.severity = alerts.severity
            and later.channel is not distinct from alerts.channel
    )
"""


def settle(
    connection: psycopg.Connection,
    alert_types: Sequence[str],
    conditions: Sequence[Condition],
    *,
    now: datetime | None = None,
) -> Settled:
    """Open an alert for each condition that has none open, resolve the open ones whose condition has ended, and queue
    what is to be sent: one transaction, so that no crash parts the decision from the message.

    Args:
        alert_types: the types that ``conditions`` is complete for; alerts of other types are left alone.
        now: of the 24 hours; None: the clock.
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
        with connection.cursor() as cursor:
            cursor.executemany(
                "insert into ops.usage_alerts (tenant_id, alert_type, severity, channel, message, details, created_at)"
                " values (%s, %s, %s, %s, %s, %s, %s)",
                [(c.tenant_id, c.alert_type, c.severity, c.channel, c.message, Jsonb(c.details), now) for c in new],
            )
            # The sentence of an open alert is today's; what was sent of it stays in the outbox as it went.
            cursor.executemany(
                "update ops.usage_alerts set message = %(message)s, details = %(details)s"
                " where id = %(id)s and (message, details) is distinct from (%(message)s, %(details)s)",
                [
                    {"id": open_alerts[key], "message": c.message, "details": Jsonb(c.details)}
                    for key, c in holding.items()
                    if key in open_alerts
                ],
            )
        ended = [number for key, number in open_alerts.items() if key not in holding]
        connection.execute("update ops.usage_alerts set resolved_at = %s where id = any(%s)", (now, ended))
        queued = _queue(connection, alert_types, holding, now)
    return Settled(len(new), len(ended), len(holding), queued)


def _queue(
    connection: psycopg.Connection,
    alert_types: Sequence[str],
    holding: dict[tuple[str, str, str, str | None], Condition],
    now: datetime,
) -> int:
    names = {
        number: holding[key].tenant_name or key[0]
        for number, *rest in connection.execute(
            "select id, tenant_id, alert_type, severity, channel from ops.usage_alerts"
            " where resolved_at is null and severity = 'critical' and alert_type = any(%s)",
            (list(alert_types),),
        )
        if (key := (rest[0], rest[1], rest[2], rest[3])) in holding
    }
    queued = connection.execute(
        QUEUE, {"ids": list(names), "names": list(names.values()), "now": now, "again": AGAIN_AFTER}
    )
    if queued.rowcount:
        connection.execute(SUPERSEDE)
    return queued.rowcount
