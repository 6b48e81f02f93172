"""Reads tracked events (rows of raw.usage_events) and brings together those that are about one record.

Only what the events themselves say belongs here; what becomes of them beside the provider's figures is in
settlement.py. AMBIGUITY marks the readings of the words that were taken.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from fractions import Fraction
from typing import Any, cast

from tests.oracle.records import UNATTRIBUTED, instant, tier_name

EventRow = Mapping[str, Any]
Quantity = int | Decimal

# What a failed call's event says of itself; nothing was used.
FAILED = ("failed", "canceled")


@dataclass(frozen=True)
class Event:
    """One row of raw.usage_events. `tenant` is '' where it names none that is real. `amount`: a payment's, in USD."""

    key: str
    record_key: str
    tenant: str
    service: str
    operation: str
    channel: str
    direction: str
    source: str
    feature: str
    activity: str
    model: str
    units: Quantity
    input_tokens: int
    cached_input_tokens: int
    output_tokens: int
    resource: str
    status: str
    amount: Fraction | None
    occurred_at: datetime
    cache_write_tokens: int = 0
    cache_write_1h_tokens: int | None = None
    tier: str = ""

    @property
    def day(self) -> date:
        return self.occurred_at.date()


@dataclass(frozen=True)
class Tracked:
    """What all events about one record say together: one call, counted once.

    `tenant`, `feature`, `activity`: '' where no event names one. `tenants`: every tenant that is named.
    """

    record_key: str
    service: str
    day: date
    tenant: str
    tenants: frozenset[str]
    feature: str
    activity: str
    operation: str
    channel: str
    direction: str
    source: str
    model: str
    resource: str
    units: Quantity
    input_tokens: int
    cached_input_tokens: int
    output_tokens: int
    amount: Fraction | None
    failed: bool
    cache_write_tokens: int = 0
    cache_write_1h_tokens: int = 0
    tier: str = ""


def load_events(rows: Iterable[EventRow]) -> list[Event]:
    """The rows as events. Raises ValueError where a key is in there twice: raw.usage_events holds it once."""
    events = [_event(row) for row in rows]
    keys = [event.key for event in events]
    if len(keys) != len(set(keys)):
        raise ValueError("an event key is there twice; raw.usage_events holds each key once")
    return events


def _event(row: EventRow) -> Event:
    def text(name: str) -> str:
        return str(row.get(name) or "")

    occurred = row["occurred_at"]
    at = occurred if isinstance(occurred, datetime) else instant(occurred)
    if at is None or at.tzinfo is None:
        raise ValueError(f"event {row['event_key']}: occurred_at must be an instant with a zone")
    values = row.get("metadata") or {}
    metadata = cast(dict[str, Any], json.loads(values) if isinstance(values, str) else values)
    tenant = text("tenant_id")
    return Event(
        key=text("event_key"),
        record_key=text("external_id") or text("event_key"),
        tenant="" if tenant == UNATTRIBUTED else tenant,
        service=text("service"),
        operation=text("operation"),
        channel=text("channel"),
        direction=text("direction") or "none",
        source=text("source"),
        feature=text("feature"),
        activity=text("activity"),
        model=text("model"),
        units=whole(row.get("units")),
        input_tokens=int(row.get("input_tokens") or 0),
        cached_input_tokens=int(row.get("cached_input_tokens") or 0),
        output_tokens=int(row.get("output_tokens") or 0),
        resource=text("resource_id"),
        status=str(metadata.get("status") or ""),
        amount=_amount(metadata),
        occurred_at=instant(at.isoformat()) or at,
        cache_write_tokens=int(row.get("cache_write_tokens") or 0),
        cache_write_1h_tokens=None if (hour := row.get("cache_write_1h_tokens")) is None else int(hour),
        tier=tier_name(metadata.get("service_tier")),
    )


def _amount(metadata: Mapping[str, Any]) -> Fraction | None:
    """AMBIGUITY: an event has no rate, so that it says an amount in USD or none."""
    if str(metadata.get("currency") or "").lower() != "usd" or metadata.get("amount_minor") is None:
        return None
    return Fraction(int(metadata["amount_minor"]), 100)


def whole(value: object) -> Quantity:
    """A quantity as int where it is one, else Decimal; null is 0."""
    number = Decimal(str(value or 0))
    return int(number) if number == number.to_integral_value() else number


def by_record(events: Iterable[Event], known: Collection[str]) -> list[Tracked]:
    """One Tracked for each record key of a service, in the order of the keys.

    The earliest event (occurred_at, then key) that names a tenant of the directory (``known``) gives tenant and
    feature; what it lacks the others add, first those that name a known tenant. Where no event names a known one,
    the earliest that names any gives it. Activity is of the earliest that has one; units and tokens are the most
    that was said. AMBIGUITY: the day, the operation and so on are the earliest event's; one event that says failed
    or canceled is enough; all services are read like that, not only Twilio's.
    """
    groups: dict[tuple[str, str], list[Event]] = defaultdict(list)
    for event in sorted(events, key=lambda e: (e.occurred_at, e.key)):
        groups[event.service, event.record_key].append(event)
    tracked: list[Tracked] = []
    for (service, record_key), group in sorted(groups.items()):
        first = group[0]
        trusted = [*(e for e in group if e.tenant in known), *group]
        tracked.append(
            Tracked(
                record_key=record_key,
                service=service,
                day=first.day,
                tenant=next((e.tenant for e in trusted if e.tenant), ""),
                tenants=frozenset(e.tenant for e in group if e.tenant),
                feature=next((e.feature for e in trusted if e.feature), ""),
                activity=next((e.activity for e in group if e.activity), ""),
                operation=first.operation,
                channel=first.channel,
                direction=first.direction,
                source=first.source,
                model=next((e.model for e in group if e.model), ""),
                resource=next((e.resource for e in group if e.resource), ""),
                units=max(e.units for e in group),
                input_tokens=max(e.input_tokens for e in group),
                cached_input_tokens=max(e.cached_input_tokens for e in group),
                output_tokens=max(e.output_tokens for e in group),
                amount=next((e.amount for e in group if e.amount is not None), None),
                failed=any(e.status in FAILED for e in group),
                # Who tells the writes of an hour tells what the others are.
                cache_write_tokens=max(
                    e.cache_write_tokens
                    for e in group
                    if e.cache_write_1h_tokens is not None or all(o.cache_write_1h_tokens is None for o in group)
                ),
                cache_write_1h_tokens=max(e.cache_write_1h_tokens or 0 for e in group),
                tier=next((e.tier for e in group if e.tier), ""),
            )
        )
    return tracked
