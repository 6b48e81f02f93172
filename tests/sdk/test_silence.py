"""A server that takes bytes and never answers: the guard's fail mode answers in time, and the tracker's waits end."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.sdk.conftest import Base
from tests.silence import Proxy
from usage_metering import GuardUnavailable, UsageCapReached, UsageEvent, UsageGuard, UsageTracker
from usage_metering.failures import ConfigError
from usage_metering.settings import FailModes, guard_timeout
from usage_metering.store import Store, event_line

pytestmark = pytest.mark.usefixtures("pinned")

BOUND = 4.0  # what would hang takes for ever; what is bounded by a quarter of a second, far less
TIMEOUT = 0.25


@pytest.fixture
def proxy(base: Base) -> Iterator[Proxy]:
    proxy = Proxy(base.url)
    yield proxy
    proxy.close()


def warmed(guard: UsageGuard) -> None:
    """A connection is there; the first ones may come too late on a slow machine."""
    until = time.monotonic() + 30
    while guard.check("acme", "sms").cap is None:
        assert time.monotonic() < until
        time.sleep(0.1)


def timed(call: Callable[[], Any]) -> Any:
    started = time.monotonic()
    try:
        return call()
    finally:
        assert time.monotonic() - started < BOUND


@pytest.mark.parametrize("warm", [True, False], ids=["warm", "cold"])
@pytest.mark.parametrize("mode", ["allow", "block"])
def test_the_fail_mode_answers_in_time(base: Base, proxy: Proxy, tracker: UsageTracker, mode: str, warm: bool) -> None:
    base.make_marts(cap=100, used=90)
    guard = UsageGuard(proxy.url, tracker=tracker, fail_modes=FailModes.parse(mode), timeout=TIMEOUT)
    if warm:
        warmed(guard)
    proxy.silent.set()
    allowed = mode == "allow"
    for _ in range(3):
        assert timed(lambda: guard.check("acme", "sms")).allowed is allowed

    def reserve() -> bool:
        try:
            with guard.reserve("acme", "sms") as reservation:
                return reservation.id is None
        except UsageCapReached:
            return False

    assert timed(reserve) is allowed
    with pytest.raises(GuardUnavailable):
        timed(lambda: guard.status("acme"))
    proxy.silent.clear()
    warmed(guard)
    assert not guard.check("acme", "sms", 11).allowed
    guard.close()


def test_a_settlement_is_not_waited_for(
    base: Base, proxy: Proxy, tracker: UsageTracker, caplog: pytest.LogCaptureFixture
) -> None:
    base.make_marts(cap=100)
    guard = UsageGuard(proxy.url, tracker=tracker, timeout=TIMEOUT)
    warmed(guard)
    reserving = guard.reserve("acme", "sms")
    assert reserving.__enter__().id is not None
    proxy.silent.set()
    with caplog.at_level(logging.WARNING):
        timed(lambda: reserving.__exit__(None, None, None))
    assert "will expire" in caplog.text
    guard.close()


def test_a_locked_mart_is_no_answer_either(base: Base, tracker: UsageTracker) -> None:
    base.make_marts(cap=100)
    guard = UsageGuard(base.url, tracker=tracker, fail_modes=FailModes.parse("block"), timeout=TIMEOUT)
    warmed(guard)
    with psycopg.connect(base.url) as connection:
        connection.execute("lock table marts.tenants in access exclusive mode")
        assert not timed(lambda: guard.check("acme", "sms")).allowed
    guard.close()


def test_one_tenants_rush_is_that_tenants(base: Base, tracker: UsageTracker) -> None:
    """A question that waits too long behind its own tenant's lock has the fail mode; the next question is answered by the cap."""
    base.make_marts(cap=100)
    guard = UsageGuard(base.url, tracker=tracker, fail_modes=FailModes.parse("allow"), timeout=1)
    warmed(guard)
    with psycopg.connect(base.url) as connection:
        connection.execute("select pg_advisory_xact_lock(hashtextextended('acme/sms', 3))")
        for _ in range(2):
            with guard.reserve("acme", "sms") as reservation:
                assert reservation.id is None, "not reserved: the fail mode let it through"
            refused = guard.check("acme", "sms", 101)
            assert (refused.allowed, refused.cap) == (False, 100)
    with guard.reserve("acme", "sms") as reservation:
        assert reservation.id is not None
    guard.close()


def test_a_flush_ends_and_brings_the_events_later(base: Base, proxy: Proxy, tmp_path: Path) -> None:
    with UsageTracker(proxy.url, tmp_path / "silent", flush_interval=0.05) as tracker:
        tracker.record("acme", "internal", idempotency_key="1")
        assert tracker.flush(20)
    store = Store(proxy.url, connect_timeout=2, statement_timeout=0.5)
    first, line = (
        event_line(UsageEvent.make(service="internal", now=datetime.now(UTC), event_key=key), time.time())
        for key in ("first", "k")
    )
    store.load([first])
    proxy.silent.set()
    with pytest.raises(psycopg.OperationalError):
        timed(lambda: store.load([line]))
    proxy.silent.clear()
    assert store.load([line]).inserted == 1
    store.close()


@pytest.mark.parametrize("text", ["0", "-1", "soon", "1.5", "60001", "\u0661", "9" * 5000])
def test_a_timeout_that_cannot_be_read_is_an_error(text: str) -> None:
    with pytest.raises(ConfigError, match="METERING_GUARD_TIMEOUT_MS"):
        guard_timeout({"METERING_GUARD_TIMEOUT_MS": text})


def test_the_timeout_is_a_quarter_of_a_second_or_as_set() -> None:
    assert guard_timeout({}) == 0.25
    assert guard_timeout({"METERING_GUARD_TIMEOUT_MS": "40"}) == 0.04
