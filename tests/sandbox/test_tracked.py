"""What the made-up product has tracked of the data set: of each service, for several tenants, and what the providers know of."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, date, datetime

import pytest

from sandbox import Dataset
from sandbox.events.tracked import tracked_events
from usage_metering.events import UsageEvent
from usage_metering.pii import Hasher

NOW = datetime(2026, 11, 10, 12, tzinfo=UTC)
OLDEST_OF_R2 = date(2026, 10, 11)


@pytest.fixture(scope="module")
def dataset() -> Dataset:
    return Dataset.generate(seed=3, tenants=6, first=date(2026, 9, 25), last=NOW.date(), scale=0.2)


@pytest.fixture(scope="module")
def events(dataset: Dataset) -> list[UsageEvent]:
    return list(tracked_events(dataset, NOW, Hasher("key")))


def test_the_same_arguments_give_the_same_events(dataset: Dataset, events: list[UsageEvent]) -> None:
    assert list(tracked_events(dataset, NOW, Hasher("key"))) == events
    assert max(Counter(event.event_key for event in events).values()) == 1


@pytest.mark.parametrize("service", ["stripe", "google_places", "cloudflare_r2", "sendgrid", "openai", "twilio_sms"])
def test_several_tenants_track_each_service(events: list[UsageEvent], service: str) -> None:
    of_service = [event for event in events if event.service == service]
    assert len({event.tenant_id for event in of_service}) >= 3
    assert {event.feature for event in of_service} - {None}
    assert max(event.occurred_at for event in of_service) <= NOW


def test_what_is_told_is_what_the_providers_say(dataset: Dataset, events: list[UsageEvent]) -> None:
    transactions = {record["id"] for record in dataset.stripe_balance_transactions}
    assert {event.external_id for event in events if event.service == "stripe"} < transactions
    of_r2 = [event for event in events if event.service == "cloudflare_r2"]
    # Of older days no answer would ever come.
    assert min(event.occurred_at.date() for event in of_r2) >= OLDEST_OF_R2
    assert {event.resource_id for event in of_r2} < {record["bucketName"] for record in dataset.r2_operations}
    numbers = [(event.operation, event.units, event.metadata["action"]) for event in events if event.channel == "phone"]
    assert sorted(numbers) == [("local", 0, "released"), ("local", 1, "provisioned")]
    assert not [event for event in events if "+1" in str(event.external_id)]
