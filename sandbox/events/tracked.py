"""Made-up tracked events: what a product that calls the providers through the tracked clients has recorded of the data set;
what it reports to the tracker itself is in `reported.py`.

Most calls are tracked, some are not, as in a product that is being moved over: what is not shows as `(untracked)`.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import UTC, date, datetime
from decimal import Decimal
from email.utils import parsedate_to_datetime
from typing import Any

from sandbox.dataset import Dataset
from sandbox.events import reported
from sandbox.events.owners import Owners, spread
from sandbox.lists import Record
from usage_metering.events import UsageEvent
from usage_metering.pii import Hasher
from usage_metering.taxonomy import NEVER_SENT

TRACKED_SHARE = 0.85
MESSAGE_FEATURES = ("appointment_reminders", "broadcasts", "two_way_chat")
CALL_FEATURE = "call_forwarding"
EMAIL_FEATURES = (("newsletters", 0.5), ("receipts", 0.2), ("appointment_reminders", 0.15))
AI_USES = (("inbox_assistant", "draft_reply"), ("lead_scoring", "lead_scoring"), ("call_notes", "summarize_call"))


def tracked_events(dataset: Dataset, now: datetime, hasher: Hasher, seed: int = 7) -> Iterator[UsageEvent]:
    """Yield the events of ``dataset`` up to ``now``. The same arguments give the same events; ``hasher`` is the deployment's."""
    rng = random.Random(f"{seed}:tracked")
    owners = Owners(dataset)
    for record in dataset.twilio_messages:
        when = _moment(record["date_sent"])
        if when is None or when > now or record["status"] in NEVER_SENT or rng.random() > TRACKED_SHARE:
            continue
        yield _message(record, when, owners, rng, now)
    for record in dataset.twilio_calls:
        when = _moment(record["start_time"])
        if when is None or when > now or record["status"] != "completed" or rng.random() > TRACKED_SHARE:
            continue
        yield _call(record, when, owners, now)
    for operation, records in (
        ("chat_completion", dataset.openai_usage_completions),
        ("embedding", dataset.openai_usage_embeddings),
    ):
        for record in records:
            yield from _requests(record, operation, owners, rng, now)
    for record in dataset.sendgrid_subuser_stats:
        yield from _mail(record, owners, rng, now)
    # Drawn from generators of their own: the events above do not depend on them.
    claude = random.Random(f"{seed}:anthropic")
    for record in dataset.anthropic_usage:
        yield from _claude(record, owners, claude, now)
    yield from reported.events(dataset, owners, random.Random(f"{seed}:told"), now, hasher)


def _message(record: Record, when: datetime, owners: Owners, rng: random.Random, now: datetime) -> UsageEvent:
    is_inbound = record["direction"] == "inbound"
    number = record["to"] if is_inbound else record["from"]
    has_media = int(record["num_media"]) > 0
    return UsageEvent.make(
        service="twilio_sms",
        channel="mms" if has_media else "sms",
        direction="inbound" if is_inbound else "outbound",
        tenant_id=owners.of("twilio", when.date(), record["account_sid"], record["messaging_service_sid"], number),
        feature="two_way_chat" if is_inbound else rng.choice(MESSAGE_FEATURES),
        units=1 if has_media else max(1, int(record["num_segments"])),
        external_id=record["sid"],
        occurred_at=when,
        now=now,
    )


def _call(record: Record, when: datetime, owners: Owners, now: datetime) -> UsageEvent:
    is_inbound = record["direction"] == "inbound"
    number = record["to"] if is_inbound else record["from"]
    return UsageEvent.make(
        service="twilio_voice",
        direction="inbound" if is_inbound else "outbound",
        tenant_id=owners.of("twilio", when.date(), record["account_sid"], number),
        feature=CALL_FEATURE,
        units=-(-int(record["duration"]) // 60),
        external_id=record["sid"],
        occurred_at=when,
        now=now,
    )


def _requests(
    record: Record, operation: str, owners: Owners, rng: random.Random, now: datetime
) -> Iterator[UsageEvent]:
    """One event a request, over the whole day, each with an equal part of the bucket's tokens."""
    day = date.fromisoformat(record["date"])
    requests = record["num_model_requests"]
    tokens: dict[str, Any] = {"input_tokens": record["input_tokens"] // requests}
    if operation == "chat_completion":
        tokens["cached_input_tokens"] = record["input_cached_tokens"] // requests
        tokens["output_tokens"] = record["output_tokens"] // requests
    tenant = owners.of("openai", day, record["project_id"])
    key = f"{record['api_key_id']}:{record['model']}:{day}"
    for number, when in enumerate(spread(day, round(requests * TRACKED_SHARE), now)):
        feature, activity = AI_USES[1] if operation == "embedding" else rng.choice(AI_USES)
        yield UsageEvent.make(
            service="openai",
            operation=operation,
            tenant_id=tenant,
            feature=feature,
            activity=activity,
            model=record["model"],
            resource_id=record["project_id"],
            event_key=f"{key}:{number}",
            occurred_at=when,
            now=now,
            **tokens,
        )


def _claude(record: Record, owners: Owners, rng: random.Random, now: datetime) -> Iterator[UsageEvent]:
    """One event a message, as of OpenAI's requests. What is used in the Console is not tracked."""
    day = date.fromisoformat(record["date"])
    tenant = owners.of("anthropic", day, record["workspace_id"])
    requests = record["requests"] if tenant else 0
    read, written = record["cache_read_input_tokens"], record["cache_creation"]
    writes = {
        "cache_write_tokens": written["ephemeral_5m_input_tokens"],
        "cache_write_1h_tokens": written["ephemeral_1h_input_tokens"],
    }
    whole = record["uncached_input_tokens"] + read + sum(writes.values())
    tokens = {"input_tokens": whole, "cached_input_tokens": read, **writes, "output_tokens": record["output_tokens"]}
    for number, when in enumerate(spread(day, round(requests * TRACKED_SHARE), now)):
        feature, activity = rng.choice(AI_USES)
        yield UsageEvent.make(
            service="anthropic",
            operation="chat_completion",
            tenant_id=tenant,
            feature=feature,
            activity=activity,
            model=record["model"],
            event_key=f"{record['api_key_id']}:{record['model']}:{day}:{number}",
            occurred_at=when,
            now=now,
            **{name: amount // requests for name, amount in tokens.items()},
        )


def _mail(record: Record, owners: Owners, rng: random.Random, now: datetime) -> Iterator[UsageEvent]:
    """A mailing an hour for each feature."""
    day = date.fromisoformat(record["date"])
    tenant = owners.of("sendgrid", day, record["subuser"])
    for feature, share in EMAIL_FEATURES:
        recipients = int(record["metrics"]["requests"] * share) // 24
        if recipients == 0:
            continue
        for number, when in enumerate(spread(day, 24, now)):
            yield UsageEvent.make(
                service="sendgrid",
                tenant_id=tenant,
                feature=feature,
                units=Decimal(recipients),
                resource_id=record["subuser"],
                event_key=f"{record['subuser']}:{feature}:{day}:{number}:{rng.getrandbits(32):08x}",
                occurred_at=when,
                now=now,
            )


def _moment(text: str | None) -> datetime | None:
    return parsedate_to_datetime(text).astimezone(UTC) if text else None
