"""The cap holds however many ask at once, reservations come back, and what happens without the database is declared."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.paths import python_path
from tests.sdk.conftest import Base
from usage_metering import (
    Access,
    UsageCapReached,
    UsageGuard,
    UsageTracker,
    can_tenant_use_channel,
    get_tenant_usage_status,
    usage_context,
)
from usage_metering import guard as guarding
from usage_metering.bounded import BoundedConnection
from usage_metering.failures import ConfigError
from usage_metering.settings import FailModes

pytestmark = pytest.mark.usefixtures("pinned")

ROOT = Path(__file__).parents[2]
SENTENCE = "Usage cap reached for this channel. Please contact support or update your plan."


@pytest.fixture
def guard(base: Base, tracker: UsageTracker) -> Iterator[UsageGuard]:
    base.make_marts(cap=100, used=90)
    guard = UsageGuard(base.url, tracker=tracker, timeout=20)
    yield guard
    guard.close()


def test_check_answers_and_leaves_no_trace(base: Base, guard: UsageGuard) -> None:
    access = guard.check("acme", "sms", 10)
    assert access == Access(True, "warning", Decimal(90), Decimal(0), Decimal(100), None)
    assert not guard.check("acme", "sms", 11).allowed
    assert guard.check("acme", "sms", Decimal("9.5")).allowed
    assert base.rows("select count(*) from ops.access_decisions") == [(0,)]


def test_require_raises_the_sentence_and_is_recorded(base: Base, guard: UsageGuard) -> None:
    assert guard.require("acme", "sms", 10).allowed
    with usage_context(feature="broadcast"), pytest.raises(UsageCapReached) as caught:
        guard.require("acme", "sms", 11)
    assert str(caught.value) == SENTENCE
    assert caught.value.access.reason == SENTENCE
    assert base.rows(
        "select tenant_id, channel, units, allowed, used, cap, mode, feature from ops.access_decisions"
    ) == [("acme", "sms", 11, False, 90, 100, "database", "broadcast")]


def test_a_channel_or_amount_that_does_not_exist_is_an_error(guard: UsageGuard) -> None:
    for channel, units in (("smss", 1), ("sms", -1), ("sms", "many"), ("sms", float("nan"))):
        with pytest.raises(ValueError, match=r"channel|units"):
            guard.check("acme", channel, units)


def test_an_unknown_tenant_has_no_cap(guard: UsageGuard) -> None:
    access = guard.require("newcomer", "sms", 10**6)
    assert access.allowed
    assert access.reason is not None
    assert "directory" in access.reason
    with guard.reserve("newcomer", "sms", 5) as reservation:
        assert reservation.id is None


def test_the_status_of_a_month(base: Base, guard: UsageGuard, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("METERING_DATABASE_URL", base.url)
    monkeypatch.setenv("METERING_GUARD_TIMEOUT_MS", "20000")
    monkeypatch.setattr(guarding, "_default", None)
    (limit,) = get_tenant_usage_status("acme", "2026-11")
    assert (limit.channel, limit.metric, limit.used, limit.cap) == ("sms", "units", 90, 100)
    assert get_tenant_usage_status("acme", "2026-10") == []
    assert can_tenant_use_channel("acme", "sms")
    assert not can_tenant_use_channel("acme", "sms", 11)


def test_reserved_then_settled_to_what_was_used(base: Base, guard: UsageGuard) -> None:
    with guard.reserve("acme", "sms", 8, feature="broadcast") as reservation:
        assert guard.check("acme", "sms").reserved == 8
        with pytest.raises(UsageCapReached), guard.reserve("acme", "sms", 3):
            pytest.fail("nothing may be sent")
        reservation.settle_as("SM1", 3)
    assert base.rows("select key, units, is_reserved from ops.live_usage") == [("SM1", 3, False)]
    assert guard.check("acme", "sms", 7).allowed
    assert base.rows("select units, allowed, reserved from ops.access_decisions") == [(3, False, 8)]


def test_without_a_word_all_that_was_reserved_is_used(base: Base, guard: UsageGuard) -> None:
    with guard.reserve("acme", "sms", 4) as reservation:
        pass
    assert base.rows("select key, units, is_reserved from ops.live_usage") == [(reservation.id, 4, False)]


def test_events_inside_settle_it_by_themselves(base: Base, guard: UsageGuard, tracker: UsageTracker) -> None:
    with guard.reserve("acme", "sms", 6):
        tracker.record("acme", "twilio_sms", units=2, external_id="SM1")
        tracker.record("acme", "twilio_sms", units=1, external_id="SM2")
        tracker.record("globex", "twilio_sms", units=5, external_id="SM3")
        tracker.record("acme", "internal", idempotency_key="x")
    assert tracker.flush(10)
    assert guard.check("acme", "sms").used == 93
    assert base.rows(
        "select key, units from ops.live_usage where tenant_id = 'acme' and channel = 'sms' order by 1"
    ) == [
        ("SM1", 2),
        ("SM2", 1),
    ]


def test_an_exception_gives_the_room_back(base: Base, guard: UsageGuard) -> None:
    with pytest.raises(RuntimeError), guard.reserve("acme", "sms", 10):
        raise RuntimeError("the provider failed")
    assert base.rows("select count(*) from ops.live_usage") == [(0,)]


def test_what_was_used_before_an_exception_counts(base: Base, guard: UsageGuard, tracker: UsageTracker) -> None:
    def call() -> None:
        with guard.reserve("acme", "sms", 10):
            tracker.record("acme", "twilio_sms", units=2, external_id="SM1")
            raise RuntimeError("after the call")

    with pytest.raises(RuntimeError):
        call()
    assert guard.check("acme", "sms").used == 92


def test_async_code_does_not_block_its_loop(base: Base, guard: UsageGuard) -> None:
    async def send(number: int) -> bool:
        try:
            async with guard.reserve("acme", "sms") as reservation:
                await asyncio.sleep(0.01)
                reservation.settle_as(f"SM{number}", 1)
        except UsageCapReached:
            return False
        return True

    async def all_of_them() -> list[bool]:
        return list(await asyncio.gather(*(send(number) for number in range(30))))

    assert sum(asyncio.run(all_of_them())) == 10
    assert base.rows("select count(*) from ops.live_usage where not is_reserved") == [(10,)]


CALLERS = """
import sys, threading
from usage_metering import UsageCapReached, UsageGuard
guard = UsageGuard(sys.argv[1], timeout=30)
passed = []
def call(name):
    try:
        while True:
            with guard.reserve("acme", "sms", 1) as reservation:
                reservation.settle_as(f"{sys.argv[2]}-{name}-{len(passed)}-{reservation.id}", 1)
                passed.append(name)
    except UsageCapReached as reached:
        assert reached.access.used is not None, reached.access
threads = [threading.Thread(target=call, args=(name,)) for name in range(int(sys.argv[3]))]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
print(len(passed))
"""


def python(code: str, *arguments: str) -> subprocess.Popen[str]:
    environ = {**os.environ, "PYTHONPATH": python_path()}
    return subprocess.Popen([sys.executable, "-c", code, *arguments], env=environ, stdout=subprocess.PIPE, text=True)


def test_64_callers_in_8_processes_share_a_cap_of_1000_exactly(base: Base) -> None:
    base.make_marts(cap=1000)
    children = [python(CALLERS, base.url, str(name), "8") for name in range(8)]
    passed = [int(child.communicate(timeout=120)[0]) for child in children]
    assert sum(passed) == 1000
    assert base.rows("select sum(units), count(*) from ops.live_usage") == [(1000, 1000)]
    assert base.rows("select count(*) from ops.access_decisions where not allowed") == [(64,)]


def test_64_threads_share_a_cap_of_1000_exactly(base: Base) -> None:
    base.make_marts(cap=1000)
    guard = UsageGuard(base.url, timeout=30)
    passed: list[int] = []

    def call(name: int) -> None:
        for _ in range(20):
            try:
                with guard.reserve("acme", "sms", 1):
                    passed.append(name)
            except UsageCapReached:
                pass

    threads = [threading.Thread(target=call, args=(name,)) for name in range(64)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    guard.close()
    assert len(passed) == 1000
    assert base.rows("select count(*) from ops.access_decisions where not allowed") == [(280,)]


HOLDER = """
import sys, time
from usage_metering import UsageGuard
with UsageGuard(sys.argv[1], timeout=30).reserve("acme", "sms", 10, ttl=float(sys.argv[2])):
    print("held", flush=True)
    time.sleep(60)
"""


def test_a_caller_killed_inside_gives_its_room_back_when_it_expires(base: Base, guard: UsageGuard) -> None:
    child = python(HOLDER, base.url, "2")
    assert child.stdout is not None
    assert child.stdout.readline() == "held\n"
    started = time.monotonic()
    child.send_signal(signal.SIGKILL)
    child.communicate()
    assert not guard.check("acme", "sms").allowed
    while not guard.check("acme", "sms", 10).allowed:
        assert time.monotonic() - started < 3
        time.sleep(0.05)


@pytest.mark.parametrize(("mode", "allowed"), [("", True), ("block", False), ("sms=block,ai=allow", False)])
def test_without_the_database_the_mode_decides_and_is_recorded(
    base: Base, tracker: UsageTracker, mode: str, allowed: bool, caplog: pytest.LogCaptureFixture
) -> None:
    base.make_marts(cap=100, used=100)
    guard = UsageGuard(base.url, tracker=tracker, fail_modes=FailModes.parse(mode), timeout=2)
    assert not guard.check("acme", "sms").allowed
    with base.away(), caplog.at_level(logging.WARNING):
        started = time.monotonic()
        assert guard.check("acme", "sms").allowed is allowed
        for _ in range(5):
            if allowed:
                with guard.reserve("acme", "sms", feature="broadcast") as reservation:
                    assert reservation.id is None
            else:
                with pytest.raises(UsageCapReached, match=SENTENCE) as caught:
                    guard.require("acme", "sms")
                assert caught.value.access.reason == "the usage check is unavailable"
        assert time.monotonic() - started < 5
        assert "the usage check is unavailable" in caplog.text
    assert tracker.status().unavailable_decisions == 5
    assert tracker.flush(20)
    assert base.rows(
        "select tenant_id, channel, allowed, mode, reason, count(*) from ops.access_decisions"
        " where mode <> 'database' group by 1, 2, 3, 4, 5"
    ) == [("acme", "sms", allowed, "database_unavailable", "the usage check is unavailable", 5)]
    time.sleep(1.1)
    assert not guard.check("acme", "sms").allowed
    guard.close()


def test_a_restarted_server_is_asked_again_at_once(base: Base, guard: UsageGuard) -> None:
    threads = [threading.Thread(target=guard.check, args=("acme", "sms")) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with base.away():
        pass
    assert not guard.check("acme", "sms", 11).allowed


def lose_answers(monkeypatch: pytest.MonkeyPatch, part: bytes, count: int) -> list[bytes]:
    """Let the first ``count`` answers to the guard's statements with ``part`` be lost on their way; return those statements, as they come."""
    execute = BoundedConnection.execute
    seen: list[bytes] = []

    def losing(connection: BoundedConnection, statement: Any, *parameters: Any, **options: Any) -> Any:
        found = execute(connection, statement, *parameters, **options)
        if isinstance(statement, bytes) and part in statement:
            seen.append(statement)
            if len(seen) <= count:
                connection.close()
                raise psycopg.OperationalError("the connection is lost")
        return found

    monkeypatch.setattr(BoundedConnection, "execute", losing)
    return seen


def test_a_reservation_whose_answer_was_lost_holds_its_room_once(
    base: Base, guard: UsageGuard, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = lose_answers(monkeypatch, b"reserve_usage", 1)
    with guard.reserve("acme", "sms", 10) as reservation:
        assert base.rows("select key, units from ops.live_usage") == [(reservation.id, 10)]
    assert len(calls) == 2


@pytest.mark.parametrize("part", [b"reserve_usage", b"access_decisions"])
def test_a_refusal_whose_answer_was_lost_is_kept_once(
    base: Base, guard: UsageGuard, monkeypatch: pytest.MonkeyPatch, part: bytes
) -> None:
    lose_answers(monkeypatch, part, 1)
    ways = {
        b"reserve_usage": lambda: guard.reserve("acme", "sms", 11).__enter__(),
        b"access_decisions": lambda: guard.require("acme", "sms", 11),
    }
    with pytest.raises(UsageCapReached):
        ways[part]()
    assert base.rows("select units, allowed, mode from ops.access_decisions") == [(11, False, "database")]


@pytest.mark.parametrize("mode", ["allow", "block"])
@pytest.mark.parametrize("units", [10, 11])
def test_the_room_of_an_answer_that_never_came_is_given_back(
    base: Base, tracker: UsageTracker, monkeypatch: pytest.MonkeyPatch, mode: str, units: int
) -> None:
    base.make_marts(cap=100, used=90)
    guard = UsageGuard(base.url, tracker=tracker, fail_modes=FailModes.parse(mode), timeout=20, pool_size=1)
    lose_answers(monkeypatch, b"reserve_usage", 2)
    monkeypatch.setattr(guarding, "AWAY_SECONDS", 0.0)
    if mode == "allow":
        with guard.reserve("acme", "sms", units) as reservation:
            reservation.settle_as("SM1", 4)
        # What was sent counts where there was room for it; where there was none, its event alone will say so.
        assert base.rows("select key, units, is_reserved from ops.live_usage") == ([("SM1", 4, False)] * (units == 10))
    else:
        with pytest.raises(UsageCapReached), guard.reserve("acme", "sms", units):
            pass
    assert tracker.flush(20)
    if mode == "block":
        assert base.rows("select * from ops.live_usage") == []
    refused = [("database", False)] * (units == 11)
    decisions = [("database_unavailable", mode == "allow")] * (mode == "allow" or units == 10)
    assert base.rows("select mode, allowed from ops.access_decisions order by 1") == refused + decisions
    guard.close()


def test_before_the_first_build_nothing_is_known_and_the_mode_decides(base: Base, tracker: UsageTracker) -> None:
    guard = UsageGuard(base.url, tracker=tracker)
    assert guard.require("acme", "sms").reason == "the usage check is unavailable"
    guard.close()


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_forked_child_asks_for_itself(guard: UsageGuard) -> None:
    assert guard.check("acme", "sms").allowed
    child = os.fork()
    if child == 0:
        code = 1
        try:
            code = 0 if guard.check("acme", "sms").cap == 100 and not guard.check("acme", "sms", 11).allowed else 2
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert guard.check("acme", "sms").allowed


@pytest.mark.parametrize("text", ["maybe", "smss=allow", "sms=perhaps", "=allow", "sms"])
def test_a_mode_that_cannot_be_read_is_an_error(text: str) -> None:
    with pytest.raises(ConfigError, match="METERING_GUARD_FAIL_MODE"):
        FailModes.parse(text)


def test_modes() -> None:
    modes = FailModes.parse("block, sms=allow ,ai=block")
    assert [modes.of(channel) for channel in ("sms", "ai", "email")] == ["allow", "block", "block"]
    assert FailModes.parse("").of("sms") == "allow"


def test_a_guard_without_a_database_is_an_error() -> None:
    with pytest.raises(ConfigError, match="not set"):
        UsageGuard()
