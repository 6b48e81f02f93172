"""Callers' keys are of a tenant and service, and one use told before and after that is one event."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from tests.sdk.conftest import Base
from usage_metering import UsageEvent, UsageTracker
from usage_metering.events import scoped_key
from usage_metering.reserving import Reservation
from usage_metering.spool import Line
from usage_metering.store import EVENT, Loaded, Store

NOW = datetime(2026, 11, 20, 10, tzinfo=UTC)
STORED = "select event_key, tenant_id, service, units::int from raw.usage_events order by 1"


@pytest.fixture(params=["owner", "tracker"])
def store(base: Base, request: pytest.FixtureRequest) -> Iterator[Store]:
    separator = "&" if "?" in base.url else "?"
    store = Store(base.url if request.param == "owner" else f"{base.url}{separator}options=-crole%3Dmetering_tracker")
    yield store
    store.close()


def line_of(key: str, tenant: str = "acme", service: str = "internal", units: int = 1, **fields: Any) -> Line:
    """A use, as this version keeps it."""
    event = UsageEvent.make(
        tenant_id=tenant, service=service, units=units, idempotency_key=key, now=NOW, occurred_at=NOW, **fields
    )
    return Line(EVENT, 1, json.dumps(event.to_row()).encode())


def before(key: str, tenant: str = "acme", service: str = "internal", units: int = 1) -> Line:
    """The same, as the version before did."""
    event = UsageEvent.make(tenant_id=tenant, service=service, units=units, event_key=key, now=NOW, occurred_at=NOW)
    return Line(EVENT, 1, json.dumps(event.to_row()).encode())


def test_one_key_of_two_tenants_and_two_services_is_three_uses(base: Base, tracker: UsageTracker) -> None:
    keys = [
        tracker.record(tenant_id="acme", service="internal", operation="export", units=3, idempotency_key="order-1"),
        tracker.record(tenant_id="beta", service="internal", operation="export", units=5, idempotency_key="order-1"),
        tracker.record(tenant_id="acme", service="google_places", operation="details", idempotency_key="order-1"),
        tracker.record_internal("export", 3, "acme", idempotency_key="order-1"),
        tracker.record_places("details", tenant_id="beta", idempotency_key="order-1"),
        tracker.record_r2("PutObject", tenant_id="beta", idempotency_key="order-1"),
    ]
    assert tracker.flush()
    assert keys[3] == keys[0]
    assert base.keys() == sorted({key for key in keys if key})
    assert len(base.keys()) == 5
    assert base.rows("select 1 from raw.rejected_records") == []


def test_a_providers_id_is_one_use_whoever_tells_it(base: Base, tracker: UsageTracker) -> None:
    for tenant in ("acme", "beta"):
        assert tracker.record(tenant_id=tenant, service="twilio_sms", external_id="SM1", idempotency_key="x") == "SM1"
    assert tracker.flush()
    assert base.keys() == ["SM1"]


def test_a_use_that_the_version_before_stored_is_not_counted_again(base: Base, store: Store) -> None:
    assert store.load([before("order-1", units=3)]) == Loaded(1, 0, 0)
    assert store.load([line_of("order-1", units=3), line_of("order-2")]) == Loaded(1, 1, 0)
    assert store.load([line_of("order-1", units=3)]) == Loaded(0, 1, 0)
    assert store.load([line_of("order-1", units=4)]) == Loaded(0, 0, 1)
    assert store.load([line_of("order-1", "beta", units=5), line_of("order-1", service="stripe", units=6)]) == Loaded(
        2, 0, 0
    )
    assert base.rows(STORED) == [
        ("internal:acme:order-2", "acme", "internal", 1),
        ("internal:beta:order-1", "beta", "internal", 5),
        ("order-1", "acme", "internal", 3),
        ("stripe:acme:order-1", "acme", "stripe", 6),
    ]
    assert base.rows("select 1 from raw.usage_event_keys where event_key = 'internal:acme:order-1'") == [(1,)]


@pytest.mark.parametrize("tenant", ["acme", "a:b%", "t" * 480])
def test_what_the_version_before_left_in_a_spool_is_not_counted_again(base: Base, store: Store, tenant: str) -> None:
    assert store.load([line_of("order-1", tenant)]) == Loaded(1, 0, 0)
    assert store.load([before("order-1", tenant), before("order-1", "beta")]) == Loaded(1, 1, 0)
    assert sorted(base.keys()) == sorted([scoped_key(tenant, "internal", "order-1"), "order-1"])


def test_a_scoped_key_read_back_from_an_export_is_the_same_event(base: Base, store: Store) -> None:
    event = UsageEvent.make(tenant_id="acme", service="internal", idempotency_key="a", now=NOW)
    again = UsageEvent.from_cloudevent(event.to_cloudevent(), now=datetime.now(UTC))
    lines = [Line(EVENT, 1, json.dumps(one.to_row()).encode()) for one in (event, again)]
    assert store.load(lines) == Loaded(1, 1, 0)


@pytest.mark.parametrize("order", ["settled first", "recorded first", "not settled"])
def test_a_reservation_is_settled_under_the_key_that_its_event_has(order: str) -> None:
    event = UsageEvent.make(tenant_id="acme", service="twilio_sms", idempotency_key="order-1", now=NOW)
    reservation = Reservation("r1", "acme", "sms", Decimal(5))
    if order == "settled first":
        reservation.settle_as("order-1", 1)
    reservation.note(event, None)
    if order == "recorded first":
        reservation.settle_as("order-1", 1)
    assert reservation.settlement == ("twilio_sms:acme:order-1", Decimal(1))
