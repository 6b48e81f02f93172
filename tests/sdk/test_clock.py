"""A machine's clock that jumps an hour or a day, either way: nothing told is lost or counted twice, and nobody waits for it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from tests.sdk.conftest import OWN, Base
from usage_metering import UsageGuard, UsageTracker

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
JUMPS = [timedelta(hours=1), timedelta(hours=-1), timedelta(days=1), timedelta(days=-1)]


class Clock:
    """Sets what the SDK reads: the wall clock for spool and decisions, "now" for events and months."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self._patch = patch
        self._really = time.time
        self.set(timedelta())

    def set(self, jump: timedelta) -> None:
        self._patch.setattr(time, "time", lambda: self._really() + jump.total_seconds())
        self._patch.setenv("METERING_AS_OF", (NOON + jump).isoformat())


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Iterator[Clock]:
    with monkeypatch.context() as patch:
        yield Clock(patch)


@pytest.mark.parametrize("jump", JUMPS, ids=str)
def test_what_was_told_before_and_after_arrives_once_on_the_day_of_its_clock(
    base: Base, tmp_path: Path, clock: Clock, jump: timedelta
) -> None:
    began = time.monotonic()
    with base.away():
        left = UsageTracker(None, tmp_path / "spool")
        left.record(tenant_id="acme", idempotency_key="before")
        clock.set(jump)
        left.record(tenant_id="acme", idempotency_key="after")
        left.record(tenant_id="acme", idempotency_key="before")
        left.close()
    with UsageTracker(base.url, tmp_path / "spool", flush_interval=0.05) as tracker:
        tracker.record(tenant_id="acme", idempotency_key="again")
        clock.set(timedelta())
        tracker.record(tenant_id="acme", idempotency_key="again")
        assert tracker.flush(timeout=20)
        assert tracker.status().oldest_age_seconds is None
    found = dict(base.rows("select event_key, occurred_at from raw.usage_events"))
    assert found == {f"{OWN}before": NOON, f"{OWN}after": NOON + jump, f"{OWN}again": NOON + jump}
    assert base.rows("select count(*) from raw.rejected_records") == [(0,)]
    assert list((tmp_path / "spool").iterdir()) == []
    assert time.monotonic() - began < 60


@pytest.mark.parametrize("jump", JUMPS, ids=str)
def test_a_reservation_ends_by_the_databases_clock(base: Base, tmp_path: Path, clock: Clock, jump: timedelta) -> None:
    base.make_marts(cap=100, used=90)
    with UsageTracker(base.url, tmp_path / "spool", flush_interval=0.05) as tracker:
        guard = UsageGuard(base.url, tracker=tracker, timeout=20)
        with guard.reserve("acme", "sms", 10) as reservation:
            clock.set(jump)
            assert not guard.check("acme", "sms", 1).allowed
            reservation.settle_as("SM1", 4)
        access = guard.check("acme", "sms", 6)
        assert (access.allowed, access.used, access.reserved) == (True, Decimal(94), Decimal(0))
        assert not guard.check("acme", "sms", 7).allowed
        guard.close()
