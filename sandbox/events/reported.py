"""Made-up tracked events of what no wrapped client sees: payments, requests to Google Places and R2, numbers bought and given back.

They are what `record_stripe_fee`, `record_places`, `record_r2` and `record_phone_number` make.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Any

from sandbox.cloudflare import KEPT_DAYS
from sandbox.dataset import Dataset
from sandbox.events.owners import Owners, spread
from sandbox.lists import Record
from sandbox.times import parse_moment, parse_rfc2822
from usage_metering import webhooks
from usage_metering.events import UsageEvent
from usage_metering.pii import Hasher

TRACKED_SHARE = 0.85
# Requests of a tenant's full weekday, by the method and the fields that decide the SKU, and what they are for.
PLACES: tuple[tuple[str, int, str], ...] = (
    ("autocomplete_request", 12, "address_entry"),
    ("place_details_essentials", 6, "address_entry"),
    ("place_details_pro", 9, "lead_enrichment"),
    ("text_search_pro", 6, "lead_enrichment"),
)
R2_FEATURES = {"PutObject": "attachments", "GetObject": "media_library", "ListObjects": "media_library"}
UNBILLED = (401, 403)


def events(dataset: Dataset, owners: Owners, rng: random.Random, now: datetime, hasher: Hasher) -> Iterator[UsageEvent]:
    """Yield what was reported up to ``now``."""
    # The account's own stats have every day of the data.
    days = [date.fromisoformat(record["date"]) for record in dataset.sendgrid_stats]
    for record in dataset.stripe_balance_transactions:
        if rng.random() < TRACKED_SHARE:
            yield from _payment(record, owners, now)
    yield from _places(dataset, days, rng, now)
    for record in dataset.r2_operations:
        yield from _r2(record, owners, now)
    for record in dataset.twilio_phone_numbers:
        yield from _number(record, days[0], owners, now, hasher)


def _payment(record: Record, owners: Owners, now: datetime) -> Iterator[UsageEvent]:
    when = datetime.fromtimestamp(record["created"], UTC)
    source = record["source"] or {}
    account = record["account"] or (source.get("transfer_data") or {}).get("destination")
    tenant = source.get("metadata", {}).get("tenant_id") or owners.of("stripe", when.date(), account)
    # What is nobody's by itself, the product does not see: a refund's webhook names the charge only.
    if when <= now and tenant is not None:
        feature = "invoices" if int(record["id"][-1], 16) < 6 else "checkout"
        yield _event(webhooks.stripe_fee(record, account), tenant, feature, now)


def _places(dataset: Dataset, days: list[date], rng: random.Random, now: datetime) -> Iterator[UsageEvent]:
    """Three times a day, for each tenant that is active."""
    for tenant in dataset.tenants:
        if tenant["status"] != "active":
            continue
        level = rng.uniform(0.4, 1.6)
        for day in days:
            for sku, usual, feature in PLACES:
                requests = int(usual * level * (0.3 if day.weekday() >= 5 else 1) * rng.uniform(0.6, 1.4) / 3)
                for number, when in enumerate(spread(day, 3, now)):
                    fields = webhooks.places(sku, requests, None, "OK") if requests else None
                    if fields is not None:
                        key = f"places:{tenant['tenant_id']}:{sku}:{day}:{number}"
                        yield _event(fields, tenant["tenant_id"], feature, now, event_key=key, occurred_at=when)


def _r2(record: Record, owners: Owners, now: datetime) -> Iterator[UsageEvent]:
    """Of the days that R2 still has: of those before, no answer would ever come to settle the events by."""
    when = datetime.fromtimestamp(parse_moment(record["datetime"]), UTC)
    action, bucket = record["actionType"], record["bucketName"]
    tenant = owners.of("cloudflare", when.date(), bucket)
    requests = int(record["requests"] * TRACKED_SHARE)
    is_kept = when.date() > now.date() - timedelta(days=KEPT_DAYS)
    if not (is_kept and when <= now and tenant and requests) or record["responseStatusCode"] in UNBILLED:
        return
    fields = webhooks.r2(action, requests, bucket)
    if fields is not None:
        key = f"r2:{bucket}:{action}:{record['datetime']}"
        yield _event(fields, tenant, R2_FEATURES.get(action), now, event_key=key, occurred_at=when)


def _number(record: Record, first: date, owners: Owners, now: datetime, hasher: Hasher) -> Iterator[UsageEvent]:
    """Of a number that was bought since the ``first`` day of the data, or given back."""
    created = datetime.fromtimestamp(parse_rfc2822(record["date_created"]) or 0, UTC)
    vanishes = (record.get("_sandbox") or {}).get("vanishes_at")
    released = datetime.fromtimestamp(parse_moment(vanishes), UTC) if vanishes else None
    for action, when in (("provisioned", created), ("released", released)):
        if when is None or when.date() < first or when > now:
            continue
        tenant = owners.of("twilio", when.date(), record["account_sid"], record["phone_number"])
        kind = str(record["type"]).replace(" ", "_")
        fields = webhooks.phone_number(hasher.hash(record["phone_number"]), kind, action, when.date())
        yield _event(fields, tenant, "local_numbers", now, occurred_at=when)


def _event(fields: webhooks.Fields, tenant: str | None, feature: str | None, now: datetime, **more: Any) -> UsageEvent:
    return UsageEvent.make(**{**fields, **more, "tenant_id": tenant, "feature": feature, "now": now})
