"""The outbox: what was decided to be sent, and the sending of it, once, whatever crashes in between."""

from __future__ import annotations

import logging
import re
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Protocol

import psycopg

logger = logging.getLogger("metering.alerts")

AGAIN_AFTER = timedelta(hours=24)
FIRST_BACKOFF, LONGEST_BACKOFF = timedelta(minutes=1), timedelta(hours=1)

# At most every 24 hours for one tenant, type, severity and channel: also where an alert was resolved and opened anew.
DUE = """
select
    alerts.id,
    alerts.message,
    coalesce(tenants.name, alerts.tenant_id) as name
from ops.usage_alerts as alerts
left join marts.tenants as tenants on tenants.tenant_id = alerts.tenant_id
where
    alerts.severity = 'critical'
    and alerts.resolved_at is null
    and not alerts.acknowledged
    and not exists (
        select 1
        from ops.alert_outbox as queued
        inner join ops.usage_alerts as before on before.id = queued.alert_id
        where
            before.tenant_id = alerts.tenant_id
            and before.alert_type = alerts.alert_type
            and before.severity = alerts.severity
            and before.channel is not distinct from alerts.channel
            and queued.medium = %(medium)s
            and queued.created_at > %(since)s
    )
order by alerts.id
"""

# The row stays locked while it is being sent: whoever dies gives it back, nobody else takes it meanwhile.
TAKE = """
select queued.id, queued.medium, queued.idempotency_id, queued.subject, queued.body, queued.attempts
from ops.alert_outbox as queued
where
    queued.sent_at is null
    and queued.cancelled_at is null
    and queued.next_attempt_at <= %(now)s
order by queued.next_attempt_at, queued.id
limit 1
for update skip locked
"""

CANCEL = """
update ops.alert_outbox set cancelled_at = %(now)s
from ops.usage_alerts as alerts
where
    alerts.id = alert_outbox.alert_id
    and alerts.acknowledged
    and alert_outbox.sent_at is null
    and alert_outbox.cancelled_at is null
"""


@dataclass(frozen=True)
class Message:
    """One text for one medium. ``idempotency_id`` is the same at every attempt."""

    idempotency_id: str
    subject: str
    body: str


class Sender(Protocol):
    """Sends over one medium."""

    def __call__(self, message: Message) -> str:
        """Send and return the provider's id.

        Raises:
            Exception: it was not sent; it is tried again later.
        """


def queue(connection: psycopg.Connection, media: Sequence[str], now: datetime) -> int:
    """Queue what is due to be sent over each of ``media``; return how many messages. Part of the caller's transaction."""
    count = 0
    for medium in media:
        due = connection.execute(DUE, {"medium": medium, "since": now - AGAIN_AFTER}).fetchall()
        for alert_id, message, name in due:
            connection.execute(
                "insert into ops.alert_outbox"
                " (alert_id, medium, idempotency_id, subject, body, created_at, next_attempt_at)"
                " values (%s, %s, %s, %s, %s, %s, %s)",
                (
                    alert_id,
                    medium,
                    str(uuid.uuid4()),
                    f"Usage alert for {name}",
                    f"⚠️ Usage Alert for {name}: {message}",
                    now,
                    now,
                ),
            )
        count += len(due)
    return count


@dataclass(frozen=True)
class Delivered:
    """What became of what was waiting: messages sent, and those that failed and are tried again later."""

    sent: int
    failed: int


def deliver(connection: psycopg.Connection, senders: Mapping[str, Sender], now: datetime | None = None) -> Delivered:
    """Send everything that is due. ``connection`` is in autocommit mode.

    A message is sent and marked as sent within one transaction that holds its row: a crash before the provider has taken
    it loses nothing, one between that and the mark sends it a second time, under the same idempotency id.
    """
    sent = failed = 0
    connection.execute(CANCEL, {"now": now or datetime.now(UTC)})
    while True:
        with connection.transaction():
            moment = now or datetime.now(UTC)
            row = connection.execute(TAKE, {"now": moment}).fetchone()
            if row is None:
                return Delivered(sent, failed)
            number, medium, idempotency_id, subject, body, attempts = row
            try:
                if medium not in senders:
                    raise LookupError(f"nothing sends {medium} here: set its variables")
                provider_id = senders[medium](Message(idempotency_id, subject, body))
            except Exception as error:
                failed += 1
                reason = _reason(error)
                logger.warning("an alert could not be sent by %s and is tried again: %s", medium, reason)
                pause = min(LONGEST_BACKOFF, FIRST_BACKOFF * 2 ** min(attempts, 10))
                connection.execute(
                    "update ops.alert_outbox set attempts = attempts + 1, last_error = %s, next_attempt_at = %s where id = %s",
                    (reason, moment + pause, number),
                )
            else:
                sent += 1
                connection.execute(
                    "update ops.alert_outbox set attempts = attempts + 1, last_error = null, sent_at = %s, provider_id = %s"
                    " where id = %s",
                    (moment, provider_id, number),
                )


PERSONAL = re.compile(r"\+?\d{6,}|[^\s<>\"']+@[^\s<>\"']+")


def _reason(error: Exception) -> str:
    """Return an error's first line without the numbers and addresses that providers like to repeat."""
    return PERSONAL.sub("…", (str(error).strip() or type(error).__name__).splitlines()[0])[:500]
