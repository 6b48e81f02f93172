"""What a caller says wrongly is an error, or cleaned as the tracker cleans it: never an answer as if the database were away."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.sdk.conftest import Base
from usage_metering import UsageCapReached, UsageGuard, UsageTracker, usage_context
from usage_metering.reserving import Reservation
from warehouse.urls import as_role

pytestmark = pytest.mark.usefixtures("pinned")

Asking = Callable[[UsageGuard], Any]


@pytest.fixture
def full(base: Base, tracker: UsageTracker) -> Iterator[UsageGuard]:
    base.make_marts(cap=1000, used=693)
    guard = UsageGuard(base.url, tracker=tracker, timeout=20)
    yield guard
    guard.close()


def reserving(*arguments: Any, **options: Any) -> Asking:
    def ask(guard: UsageGuard) -> None:
        with guard.reserve(*arguments, **options):
            pytest.fail("nothing may be sent")

    return ask


WRONG: list[Asking] = [
    reserving("acme", "sms", "1e140000"),
    reserving("acme", "sms", 10**20),
    reserving("acme", "sms", "9" * 5000),
    reserving("acme", "sms", True),
    reserving("acme", "sms", -1),
    reserving(5, "sms"),
    reserving(b"acme", "sms"),
    reserving("a" * 501, "sms"),
    reserving("acme", ["sms"]),
    reserving("acme", "sms", direction="\x00"),
    reserving("acme", "sms", feature=5),
    reserving("acme", "sms", feature="f" * 501),
    reserving("acme", "sms", ttl=float("nan")),
    reserving("acme", "sms", ttl=1e300),
    reserving("acme", "sms", ttl=0),
    lambda guard: guard.check(5, "sms"),  # type: ignore[arg-type]
    lambda guard: guard.require("acme", "sms", "1e140000"),
    lambda guard: guard.status(5),  # type: ignore[arg-type]
    lambda guard: guard.status("acme", "2026-11\x00"),
    lambda guard: guard.status("acme", "2026-13"),
]


@pytest.mark.parametrize("ask", WRONG)
def test_what_is_wrong_is_an_error_at_once(full: UsageGuard, tracker: UsageTracker, ask: Asking) -> None:
    with pytest.raises(ValueError):
        ask(full)
    assert tracker.status().unavailable_decisions == 0


@pytest.mark.parametrize("wrong", [float("nan"), float("inf"), "x", "1", 0, -1, True, 1e9])
@pytest.mark.parametrize("argument", ["timeout", "ttl", "pool_size"])
def test_a_guard_is_not_made_of_what_is_no_number(argument: str, wrong: Any) -> None:
    if (argument, wrong) == ("pool_size", 1e9):
        wrong = 1.5
    with pytest.raises(ValueError, match=f"^{argument} is [^\n]+$"):
        UsageGuard("postgresql://u@h/d", **{argument: wrong})


@pytest.mark.parametrize("wrong", [float("nan"), "x", 0, -1])
@pytest.mark.parametrize("argument", ["flush_interval", "direct_timeout"])
def test_nor_is_a_tracker(argument: str, wrong: Any, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=f"^{argument} is [^\n]+$"):
        UsageTracker(None, tmp_path, **{argument: wrong})


@pytest.mark.parametrize("feature", ["x\x00", "half \ud800"])
def test_what_the_tracker_would_clean_is_cleaned_and_then_refused(base: Base, full: UsageGuard, feature: str) -> None:
    cleaned = feature.replace("\x00", "\ufffd").replace("\ud800", "?")
    with pytest.raises(UsageCapReached) as caught:
        reserving("acme", "sms", 1e9, feature=feature)(full)
    with usage_context(feature=feature), pytest.raises(UsageCapReached):
        full.require("acme", "sms", 1e9)
    assert caught.value.access.used == 693
    assert base.rows("select feature, allowed, mode from ops.access_decisions") == [(cleaned, False, "database")] * 2


@pytest.mark.parametrize("tenant", ["ac\x00me", "ac\ud800me"])
def test_a_tenant_that_no_directory_can_know_is_unknown(full: UsageGuard, tenant: str) -> None:
    assert "directory" in str(full.check(tenant, "sms").reason)


@pytest.mark.parametrize(("key", "units"), [("SM1", -1), ("SM1", "many"), ("SM1", "1e140000"), (5, 1), ("k" * 501, 1)])
def test_a_settlement_is_checked_too(key: Any, units: Any) -> None:
    reservation = Reservation("r", "acme", "sms", Decimal(1))
    with pytest.raises(ValueError):
        reservation.settle_as(key, units)
    assert not reservation.is_used


NEGATIVE = {
    "a reservation": "select * from ops.reserve_usage('r', 'acme', 'sms', 'outbound', {}, '2026-11', 60, null)",
    "an event": "insert into raw.usage_events (event_key, service, channel, units, occurred_at)"
    " values ('e', 'internal', 'internal', {}, '2026-11-20')",
}


@pytest.mark.parametrize("units", ["-1", "-0.000000000000000001", "'NaN'"])
@pytest.mark.parametrize("what", NEGATIVE)
def test_the_database_knows_no_negative_units(base: Base, what: str, units: str) -> None:
    base.make_marts(cap=1000)
    with (
        psycopg.connect(as_role(base.url, "metering_tracker")) as connection,
        pytest.raises((psycopg.DataError, psycopg.IntegrityError)),
    ):
        connection.execute(NEGATIVE[what].format(units).encode())


@pytest.mark.parametrize(
    "message",
    [
        ("", "2026-11", "60"),
        ("up", "2026-11", "60"),
        (None, "2026-11", "60"),
        ("outbound", "2026-13", "60"),
        ("outbound", "2026-11", "NaN"),
        ("outbound", "2026-11", None),
    ],
)
def test_nor_a_reservation_that_no_limit_would_count_or_that_would_not_end(
    base: Base, message: tuple[Any, ...]
) -> None:
    base.make_marts(cap=1000)
    with (
        psycopg.connect(as_role(base.url, "metering_tracker")) as connection,
        pytest.raises(psycopg.DataError, match=r"direction|month|seconds"),
    ):
        connection.execute("select * from ops.reserve_usage('r', 'acme', 'sms', %s, 1, %s, %s, null)", message)


def test_nor_does_what_is_live(base: Base) -> None:
    with psycopg.connect(base.url) as connection, pytest.raises(psycopg.errors.CheckViolation):
        connection.execute(
            "insert into ops.live_usage (key, tenant_id, channel, direction, month, units, requests, is_reserved)"
            " values ('k', 'acme', 'sms', 'outbound', '2026-11', -1, 1, false)"
        )
    base.rows("select raw.ensure_usage_event_months('{2027-03-01}')")
    assert base.rows(
        "select count(*) from pg_constraint where conname = 'usage_events_units_are_no_less_than_nothing'"
        " and conrelid = 'raw.usage_events_2027_03'::regclass"
    ) == [(1,)]
