"""The sender: takes what waits in `ops.alert_outbox` to the providers, and survives being killed anywhere.

An attempt is three steps, each a commit of its own: the row says that an attempt begins (it is in doubt from here), the
provider is asked, the row says how it ended. Killed before the first, nothing has happened; after the third, all has. In
between the row stays in doubt, and a later sender, before it sends again under the same idempotency id, asks the provider
whether the message exists. Twilio can be asked that, the others cannot: a mail or a post that was in doubt twice is not sent a third
time where an SMS about the same was sent. While that SMS still waits, it waits for the SMS, an hour at most: losing both would be
worse than a third copy. What is in doubt rests for a minute first: the request of a process that died may still be under
way. One sender at a time: a lock of its connection, which goes with the process that held it.

A notice to a tenant is nobody else's: no SMS stands for it, and an administrator who has seen the alert has not told the tenant.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
from psycopg.rows import dict_row

from costs.alerts.requesting import Outgoing, Sender, SendFailed

FIRST_RETRY = timedelta(minutes=1)
LAST_RETRY = timedelta(hours=1)
MOST_COPIES = 2
# How long what was in doubt so often waits for the SMS that would make another copy needless.
PATIENCE = timedelta(hours=1)
# After so many seconds a run of the sender begins no more attempts: the next one goes on. Who called it has other work.
LONGEST_RUN = 30.0

# What was in doubt before this attempt began stays in doubt since then: that is where to look for it.
TAKE = """
with due as (
    select outbox.id, outbox.in_doubt_since
    from ops.alert_outbox as outbox
    inner join ops.usage_alerts as alerts on alerts.id = outbox.alert_id
    where
        outbox.state = 'waiting'
        and outbox.next_attempt_at <= %(now)s
        and outbox.medium = any(%(media)s)
        and case outbox.medium
            when 'tenant' then ops.webhook_of_tenant(alerts.tenant_id) is not null
            else not alerts.acknowledged and coalesce(alerts.snoozed_until <= %(now)s, true)
        end
        and (
            outbox.medium in ('sms', 'tenant')
            or outbox.doubts < %(copies)s
            or not exists (
                select 1 from ops.alert_outbox as sms
                where sms.alert_id = outbox.alert_id and sms.round = outbox.round and sms.medium = 'sms'
                    and (sms.state = 'sent' or (sms.state = 'waiting' and %(has_sms)s and outbox.attempted_at > %(patient)s))
            )
        )
    order by outbox.medium = 'tenant', outbox.id
    limit 1
    for update of outbox
)

update ops.alert_outbox as outbox
set
    attempts = outbox.attempts + 1,
    doubts = outbox.doubts + 1,
    in_doubt_since = coalesce(due.in_doubt_since, %(now)s),
    attempted_at = %(now)s,
    next_attempt_at = %(now)s + %(rest)s
from due, ops.usage_alerts as alerts
where outbox.id = due.id and alerts.id = outbox.alert_id
returning
    outbox.id,
    outbox.medium,
    outbox.idempotency_id,
    outbox.body,
    outbox.payload,
    outbox.attempts,
    due.in_doubt_since,
    case outbox.medium when 'tenant' then alerts.tenant_id else '' end as tenant_id,
    case outbox.medium when 'tenant' then ops.webhook_of_tenant(alerts.tenant_id) else '' end as target,
    format('Tenant %%s, alert %%s: %%s, %%s.', alerts.tenant_id, alerts.id, alerts.alert_type, alerts.severity) as reference
"""

# No message is due for what was acknowledged, for what ended while nobody could be notified, nor a third copy where the
# SMS was sent, nor to a tenant that has no webhook any more.
WITHDRAW = """
update ops.alert_outbox as outbox
set state = 'withdrawn'
from ops.usage_alerts as alerts
where
    alerts.id = outbox.alert_id
    and outbox.state = 'waiting'
    and (
        (alerts.acknowledged and outbox.medium <> 'tenant')
        or (alerts.resolved_at is not null and outbox.attempts = 0 and outbox.medium <> all(%(media)s))
        or (
            outbox.medium not in ('sms', 'tenant')
            and outbox.doubts >= %(copies)s
            and exists (
                select 1 from ops.alert_outbox as sms
                where sms.alert_id = outbox.alert_id and sms.round = outbox.round
                    and sms.medium = 'sms' and sms.state = 'sent'
            )
        )
        or (outbox.medium = 'tenant' and ops.webhook_of_tenant(alerts.tenant_id) is null)
    )
"""


@dataclass(frozen=True)
class Delivery:
    """What one run of the sender did. ``waiting`` counts by medium what still waits, for whatever reason."""

    sent: int
    failed: int
    waiting: Mapping[str, int]
    errors: tuple[str, ...] = ()


def deliver(
    connection: psycopg.Connection,
    senders: Mapping[str, Sender],
    now: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> Delivery:
    """Send what is due. Another sender at work: nothing is done here.

    Args:
        connection: in autocommit mode.
        senders: by medium; what has none waits.
        now: the clock of attempts and retries.
    """
    (is_ours,) = _one(connection, "select pg_try_advisory_lock(hashtextextended('ops.alert_outbox', 0))")
    sent, errors = 0, []
    if is_ours:
        until = time.monotonic() + LONGEST_RUN
        try:
            media = set(senders)
            while (
                media
                and time.monotonic() < until
                and (row := _take(connection, media, "sms" in senders, now())) is not None
            ):
                try:
                    _attempt(connection, senders[row["medium"]], row, now)
                    sent += 1
                except SendFailed as failure:
                    _put_back(connection, row, failure, now())
                    errors.append(str(failure))
                    if failure.everything:
                        media.discard(row["medium"])
            connection.execute(WITHDRAW, {"media": list(senders), "copies": MOST_COPIES})
        finally:
            if not connection.closed:
                connection.execute("select pg_advisory_unlock(hashtextextended('ops.alert_outbox', 0))")
    waiting: dict[str, int] = dict(
        connection.execute(
            "select medium, count(*) from ops.alert_outbox where state = 'waiting' group by medium order by medium"
        ).fetchall()
    )
    return Delivery(sent, len(errors), waiting, tuple(dict.fromkeys(errors)))


def _one(connection: psycopg.Connection, query: str) -> tuple[Any, ...]:
    row = connection.execute(query.encode()).fetchone()
    assert row is not None
    return row


def _take(connection: psycopg.Connection, media: set[str], has_sms: bool, now: datetime) -> dict[str, Any] | None:
    parameters = {
        "now": now,
        "media": sorted(media),
        "has_sms": has_sms,
        "copies": MOST_COPIES,
        "patient": now - PATIENCE,
        "rest": FIRST_RETRY,
    }
    with connection.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(TAKE, parameters).fetchone()


def _attempt(
    connection: psycopg.Connection, sender: Sender, row: Mapping[str, Any], now: Callable[[], datetime]
) -> None:
    message = Outgoing(
        row["idempotency_id"],
        row["body"],
        row["reference"],
        row["in_doubt_since"],
        row["payload"],
        row["tenant_id"],
        row["target"],
    )
    known_id = None
    if message.in_doubt_since is not None:
        known = {
            number
            for (number,) in connection.execute(
                "select provider_id from ops.alert_outbox where provider_id is not null and medium = %s",
                (row["medium"],),
            )
        }
        try:
            known_id = sender.find(message, known)
        except SendFailed as failure:
            # Only asked: this attempt has sent nothing.
            raise SendFailed(str(failure), in_doubt=False, everything=failure.everything) from None
    provider_id = known_id or sender.send(message)
    connection.execute(
        "update ops.alert_outbox set state = 'sent', sent_at = %s, provider_id = %s, last_error = null where id = %s",
        (now(), provider_id, row["id"]),
    )


def _put_back(connection: psycopg.Connection, row: Mapping[str, Any], failure: SendFailed, now: datetime) -> None:
    wait = min(FIRST_RETRY * 2 ** min(row["attempts"] - 1, 10), LAST_RETRY)
    connection.execute(
        "update ops.alert_outbox set doubts = doubts - %(known)s, last_error = %(error)s, next_attempt_at = %(next)s,"
        " in_doubt_since = case when doubts > %(known)s then in_doubt_since end where id = %(id)s",
        {"known": 0 if failure.in_doubt else 1, "error": str(failure), "next": now + wait, "id": row["id"]},
    )
