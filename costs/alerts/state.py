"""What an evaluation means for the alerts: opened, kept with today's figures, resolved; and what is to be sent of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import psycopg
from psycopg.types.json import Jsonb

from costs.alerts.rules import Condition

AGAIN_AFTER = timedelta(hours=24)
SEVERITIES = ("info", "warning", "critical")
# Where the settings say nothing else.
ROUTES: Mapping[str, Sequence[str]] = {"critical": ("sms", "email")}

Key = tuple[str, str, str | None, str | None]
"""What a condition is about: tenant, type, channel, subject."""


@dataclass(frozen=True)
class Settled:
    """What an evaluation changed: alerts opened, alerts resolved, those that stay open, and messages to be sent."""

    opened: int
    resolved: int
    open: int
    queued: int = 0


# A message per medium of its severity for each open alert that nobody has acknowledged or put off, unless one of it waits already
# or one went out less than a day ago: that about the same thing (tenant, type, severity, channel, subject), not the same alert, for a
# condition that comes and goes makes new alerts. It counts from when it was sent, or may have been. A tenant is told of its own caps
# alone, once an alert, and nothing of it but what is its own.
QUEUE = """
insert into ops.alert_outbox (alert_id, round, medium, idempotency_id, tenant_name, body, payload, created_at, next_attempt_at)
select
    alerts.id,
    before.rounds + 1,
    media.medium,
    ids.idempotency_id,
    names.name,
    format('⚠️ Usage Alert for %%s: %%s', names.name, alerts.message),
    case media.medium
        when 'webhook' then jsonb_build_object(
            'id', ids.idempotency_id,
            'type', 'alert',
            'createdAt', to_char(%(now)s at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"'),
            'alert', jsonb_build_object(
                'id', alerts.id,
                'tenantId', alerts.tenant_id,
                'tenantName', names.name,
                'type', alerts.alert_type,
                'severity', alerts.severity,
                'channel', alerts.channel,
                'subject', alerts.subject,
                'message', alerts.message,
                'details', alerts.details,
                'openedAt', to_char(alerts.created_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"')
            )
        )
        when 'tenant' then jsonb_build_object(
            'id', ids.idempotency_id,
            'type', case alerts.severity when 'critical' then 'usage.over_cap' else 'usage.near_cap' end,
            'createdAt', to_char(%(now)s at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"'),
            'tenantId', alerts.tenant_id,
            'channel', alerts.channel,
            'message', alerts.message,
            'details', alerts.details
        )
    end,
    %(now)s,
    %(now)s
from ops.usage_alerts as alerts
inner join unnest(%(ids)s::bigint[], %(names)s::text[]) as names (id, name) on names.id = alerts.id
inner join unnest(%(severities)s::text[], %(media)s::text[]) as media (severity, medium) on media.severity = alerts.severity
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
        and earlier.subject is not distinct from alerts.subject
) as before
cross join lateral (
    select format('alert-%%s-%%s-%%s', alerts.id, before.rounds + 1, media.medium) as idempotency_id
) as ids
where
    alerts.resolved_at is null
    and not before.waits
    and (before.last is null or before.last <= %(now)s - %(again)s)
    and case media.medium
        when 'tenant' then
            before.rounds = 0
            and alerts.alert_type = 'cap'
            and ops.webhook_of_tenant(alerts.tenant_id) is not null
        else not alerts.acknowledged and coalesce(alerts.snoozed_until <= %(now)s, true)
    end
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
            and later.subject is not distinct from alerts.subject
    )
"""


def settle(
    connection: psycopg.Connection,
    alert_types: Sequence[str],
    conditions: Iterable[Condition],
    *,
    routes: Mapping[str, Sequence[str]] = ROUTES,
    now: datetime | None = None,
) -> Settled:
    """Open an alert for each condition that has none open, resolve the open ones whose condition has ended, and queue
    what is to be sent: one transaction, so that no crash parts the decision from the message.

    A condition has one open alert. One that gets worse ends the milder alert and opens another: it is news, to be told and to be
    acknowledged by itself.

    Args:
        alert_types: the types that ``conditions`` is complete for; alerts of other types are left alone.
        routes: by severity the media that tell.
        now: of the 24 hours; None: the clock.
    """
    now = now or datetime.now(UTC)
    with connection.transaction():
        # Two evaluations at once would each see the other's alerts missing.
        connection.execute("select pg_advisory_xact_lock(hashtextextended('ops.usage_alerts', 0))")
        open_alerts: dict[Key, tuple[int, str]] = {
            (tenant, kind, channel, subject): (number, severity)
            for number, severity, tenant, kind, channel, subject in connection.execute(
                "select id, severity, tenant_id, alert_type, channel, subject from ops.usage_alerts"
                " where resolved_at is null and alert_type = any(%s)",
                (list(alert_types),),
            )
        }
        holding = _worst(conditions)
        kept = {
            key: number
            for key, (number, severity) in open_alerts.items()
            if key in holding and holding[key].severity == severity
        }
        ended = [number for key, (number, _) in open_alerts.items() if key not in kept]
        new = {key: condition for key, condition in holding.items() if key not in kept}
        connection.execute("update ops.usage_alerts set resolved_at = %s where id = any(%s)", (now, ended))
        with connection.cursor() as cursor:
            cursor.executemany(
                "insert into ops.usage_alerts (tenant_id, alert_type, channel, subject, severity, message, details, created_at)"
                " values (%s, %s, %s, %s, %s, %s, %s, %s)",
                [(*key, c.severity, c.message, Jsonb(c.details), now) for key, c in new.items()],
            )
            # The sentence of an open alert is today's; what was sent of it stays in the outbox as it went.
            cursor.executemany(
                "update ops.usage_alerts set message = %(message)s, details = %(details)s"
                " where id = %(id)s and (message, details) is distinct from (%(message)s, %(details)s)",
                [
                    {"id": number, "message": holding[key].message, "details": Jsonb(holding[key].details)}
                    for key, number in kept.items()
                ],
            )
        queued = _queue(connection, alert_types, holding, routes, now)
    return Settled(len(new), len(ended), len(holding), queued)


def _worst(conditions: Iterable[Condition]) -> dict[Key, Condition]:
    """Return one condition for each thing that they are about: the worst said of it, the first of those."""
    found: dict[Key, Condition] = {}
    for one in conditions:
        key = (one.tenant_id, one.alert_type, one.channel, one.subject)
        if key not in found or SEVERITIES.index(one.severity) > SEVERITIES.index(found[key].severity):
            found[key] = one
    return found


def _queue(
    connection: psycopg.Connection,
    alert_types: Sequence[str],
    holding: Mapping[Key, Condition],
    routes: Mapping[str, Sequence[str]],
    now: datetime,
) -> int:
    names = {
        number: holding[key].tenant_name or key[0]
        for number, *rest in connection.execute(
            "select id, tenant_id, alert_type, channel, subject from ops.usage_alerts"
            " where resolved_at is null and alert_type = any(%s)",
            (list(alert_types),),
        )
        if (key := (rest[0], rest[1], rest[2], rest[3])) in holding
    }
    told = [(severity, medium) for severity, media in routes.items() for medium in media]
    queued = connection.execute(
        QUEUE,
        {
            "ids": list(names),
            "names": list(names.values()),
            "severities": [severity for severity, _ in told],
            "media": [medium for _, medium in told],
            "now": now,
            "again": AGAIN_AFTER,
        },
    )
    if queued.rowcount:
        connection.execute(SUPERSEDE)
    return queued.rowcount
