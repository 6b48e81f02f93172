"""Leases: the cap holds to the unit, whatever is leased, used, not used, told, not told, or lost with its process."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from decimal import Decimal
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.paths import python_path
from tests.sdk.conftest import Base
from usage_metering import UsageCapReached, UsageGuard, UsageTracker
from usage_metering.leasing import FORGET_AFTER, MOST_CALLS, Lease, Leases, Seat, Subject

pytestmark = pytest.mark.usefixtures("pinned")

SUBJECT = Subject("acme", "sms", "outbound", "2026-11")
HELD = "select coalesce(sum(units), 0)::int from ops.live_usage where is_reserved"
USED = "select coalesce(sum(units), 0)::int from ops.live_usage where not is_reserved"


@pytest.fixture
def guard(base: Base, tracker: UsageTracker) -> Iterator[UsageGuard]:
    base.make_marts(cap=1000)
    guard = UsageGuard(base.url, tracker=tracker, timeout=20, lease_seconds=30)
    yield guard
    guard.close()


def send(guard: UsageGuard, tracker: UsageTracker, key: str, units: int = 1) -> None:
    with guard.reserve("acme", "sms", units):
        tracker.record("acme", "twilio_sms", units=units, external_id=key)


# --- in the process


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class Store:
    """Leases over a made-up database that grants all that it is asked for."""

    def __init__(self, seconds: float = 5) -> None:
        self.clock = Clock()
        self.ended: list[str] = []
        self.leases = Leases(seconds, self.ended.append, self.clock)
        self.granted: list[int] = []

    @property
    def seat(self) -> Seat:
        return self.leases.seat(SUBJECT)

    def take(self, units: int = 1) -> Lease | None:
        with self.seat.lock:
            lease = self.leases.take(self.seat, Decimal(units))
            if lease is None:
                self.granted.append(self.seat.calls)
                if self.seat.calls > 1:
                    name = f"r{len(self.granted)}"
                    lease = self.leases.granted(self.seat, name, self.seat.calls, Decimal(units), self.clock())
        return lease

    def done(self, lease: Lease | None, *, is_call_unused: bool = False) -> None:
        if lease is not None:
            self.leases.done(lease, Decimal(is_call_unused), is_call_unused=is_call_unused)


def test_a_lease_begins_with_one_call_and_doubles_while_it_is_used_up_in_its_time() -> None:
    store = Store()
    for _ in range(1 + 2 + 4 + 8):
        store.done(store.take())
    assert store.granted == [1, 2, 4, 8]
    assert store.ended == ["r2", "r3"]  # the last is not used up: nobody has asked beyond it


def test_it_does_not_grow_beyond_its_bound() -> None:
    store = Store()
    while len(store.granted) < 14:
        store.done(store.take())
    assert store.granted[-3:] == [MOST_CALLS] * 3


def test_what_was_not_used_in_its_time_makes_the_next_one_smaller() -> None:
    store = Store()
    for _ in range(1 + 2 + 4 + 8 + 3):
        store.done(store.take())  # of the last 16, 3 are used
    store.clock.now = 6
    store.done(store.take())
    assert store.granted[-1] == 3
    store.clock.now = 100
    store.leases.end_old()
    store.clock.now = 100 + FORGET_AFTER
    store.leases.end_old()
    store.done(store.take())
    assert store.granted[-1] == 1


def test_a_lease_past_its_time_ends_with_the_last_call_under_it() -> None:
    store = Store()
    store.take()
    first = store.take()
    store.clock.now = 6
    store.leases.end_old()
    assert store.ended == []
    store.done(first)
    assert store.ended == ["r2"]
    store.leases.stop()
    assert store.ended == ["r2"]


def test_once_stopped_it_leases_nothing_more() -> None:
    store = Store()
    for _ in range(10):
        store.done(store.take())
    store.leases.stop()
    assert store.ended == ["r2", "r3", "r4"]
    for _ in range(5):
        assert store.take() is None
    assert store.granted == [1, 2, 4, 8, *([1] * 5)]


def test_a_larger_call_than_is_left_asks_anew() -> None:
    store = Store()
    for units in (1, 1, 5):
        store.take(units)
    assert store.granted == [1, 2, 4]


def test_a_call_that_used_nothing_is_handed_out_again() -> None:
    store = Store()
    store.take()
    for _ in range(50):
        store.done(store.take(), is_call_unused=True)
    assert store.granted == [1, 2]


# --- against the database


def test_many_calls_ask_a_few_times(base: Base, guard: UsageGuard, tracker: UsageTracker) -> None:
    for number in range(60):
        send(guard, tracker, f"SM{number}")
    assert tracker.flush()
    assert base.rows("select count(*)::int from ops.live_usage where is_reserved") == [(1,)]
    guard.close()
    assert tracker.flush()
    assert base.rows(HELD) == [(0,)]
    assert base.rows(USED) == [(60,)]


def test_a_lease_is_a_tenth_of_what_is_left_at_most(base: Base, guard: UsageGuard, tracker: UsageTracker) -> None:
    for number in range(400):
        send(guard, tracker, f"SM{number}")
        ((held,),) = base.rows("select coalesce(max(units), 0)::int from ops.live_usage where is_reserved")
        # What was left when it was granted: at most `held` calls ago.
        assert held <= 1 or 10 * held <= 1000 - number + held


def test_near_the_cap_each_call_asks(base: Base, tracker: UsageTracker) -> None:
    base.make_marts(cap=100, used=85)
    with UsageTrackerGuard(base, tracker) as guard:
        for number in range(15):
            send(guard, tracker, f"SM{number}")
        with pytest.raises(UsageCapReached), guard.reserve("acme", "sms"):
            pytest.fail("nothing may be sent")
    # One refusal, of the one call that was refused.
    assert base.rows("select units::int, allowed from ops.access_decisions") == [(1, False)]


class UsageTrackerGuard:
    """A leasing guard for a block."""

    def __init__(self, base: Base, tracker: UsageTracker, **options: Any) -> None:
        self.guard = UsageGuard(base.url, tracker=tracker, **{"timeout": 20, "lease_seconds": 30, **options})

    def __enter__(self) -> UsageGuard:
        return self.guard

    def __exit__(self, *_: object) -> None:
        self.guard.close()


def test_a_use_that_no_event_tells_of_is_settled_at_once(base: Base, guard: UsageGuard) -> None:
    """As of a plain reservation: the event may come by a webhook, or from another process."""
    for number in range(4):
        with guard.reserve("acme", "sms", 2) as reservation:
            reservation.settle_as(f"SM{number}", 3)
    assert base.rows("select key, units::int from ops.live_usage where not is_reserved order by key") == [
        (f"SM{number}", 3) for number in range(4)
    ]
    with guard.reserve("acme", "sms", 2):
        pass  # without a word, all of it is used
    assert base.rows(USED) == [(14,)]


def test_the_event_that_was_faster_is_what_counts(base: Base, guard: UsageGuard, tracker: UsageTracker) -> None:
    send(guard, tracker, "SM0")
    with guard.reserve("acme", "sms") as reservation, UsageTracker(base.url, tracker.status().spool_dir / "b") as other:
        assert type(reservation).__name__ == "LeasedReservation"
        other.record("acme", "twilio_sms", units=5, external_id="SM1")
        assert other.flush()
    assert tracker.flush()
    assert base.rows("select units::int from ops.live_usage where key = 'SM1'") == [(5,)]


def test_a_failed_call_gives_its_room_back(base: Base, guard: UsageGuard, tracker: UsageTracker) -> None:
    send(guard, tracker, "SM0")
    for _ in range(20):
        with suppress(RuntimeError), guard.reserve("acme", "sms"):
            raise RuntimeError("not sent")
    assert base.rows("select count(*)::int from ops.live_usage where is_reserved") == [(1,)]
    guard.close()
    assert tracker.flush()
    assert base.rows("select key, units::int from ops.live_usage") == [("SM0", 1)]


def test_a_lease_ends_in_the_database_with_or_after_its_events(
    base: Base, guard: UsageGuard, tracker: UsageTracker
) -> None:
    """At each moment what is held and what has arrived are together no less than what was used."""
    for number in range(300):
        send(guard, tracker, f"SM{number}")
        if number % 10 == 0:
            ((counted,),) = base.rows("select coalesce(sum(units), 0)::int from ops.live_usage")
            assert counted > number


def test_idle_leases_come_back_by_themselves(base: Base, tracker: UsageTracker) -> None:
    base.make_marts(cap=1000)
    with UsageTrackerGuard(base, tracker, lease_seconds=0.2) as guard:
        for number in range(10):
            send(guard, tracker, f"SM{number}")
        deadline = time.monotonic() + 20
        while base.rows(HELD) != [(0,)] and time.monotonic() < deadline:
            time.sleep(0.05)
        assert base.rows(HELD) == [(0,)]


def test_a_cap_of_requests_holds_too(base: Base, guard: UsageGuard, tracker: UsageTracker) -> None:
    """Of AI a call of many tokens is one request: a lease reserves a request for each call."""
    base.rows(
        "insert into marts.tenant_usage_status (tenant_id, month, channel, metric, direction, used, cap,"
        " warning_threshold_pct, percent_used, status) values ('acme', '2026-11', 'ai', 'requests', 'any', 0, 40, 80, 0, 'ok')"
    )
    sent = 0
    with suppress(UsageCapReached):
        for number in range(100):
            with guard.reserve("acme", "ai", 1000):
                tracker.record("acme", "openai", "chat_completion", input_tokens=900, external_id=f"chat{number}")
                sent += 1
    assert 36 <= sent <= 40
    assert tracker.flush()
    assert base.rows("select sum(requests)::int from ops.live_usage where not is_reserved") == [(sent,)]


def test_threads_and_processes_use_the_cap_up_to_the_unit_and_not_beyond(base: Base, tracker: UsageTracker) -> None:
    base.make_marts(cap=500)
    program = """
import sys, threading
from usage_metering import UsageCapReached, UsageGuard, UsageTracker
url, folder, name = sys.argv[1:]
with UsageTracker(url, folder, flush_interval=0.05) as tracker:
    guard = UsageGuard(url, tracker=tracker, timeout=60, lease_seconds=0.5)
    def work(thread):
        number = 0
        while True:
            try:
                with guard.reserve("acme", "sms"):
                    tracker.record("acme", "twilio_sms", external_id=f"{name}-{thread}-{number}")
            except UsageCapReached:
                return
            number += 1
    threads = [threading.Thread(target=work, args=(thread,)) for thread in range(4)]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    guard.close()
"""
    folder = tracker.status().spool_dir
    environment = {**os.environ, "PYTHONPATH": python_path()}
    processes = [
        subprocess.Popen([sys.executable, "-c", program, base.url, str(folder), f"p{number}"], env=environment)
        for number in range(3)
    ]
    assert [process.wait(timeout=120) for process in processes] == [0, 0, 0]
    ((events,),) = base.rows("select count(*)::int from raw.usage_events")
    assert base.rows(USED) == [(events,)]
    # Refused while another process held a lease that it did not use: each a tenth of the room left at most.
    assert 500 - 3 * 50 <= events <= 500
    # What the last lease kept from the others is free now, and is used up by whoever comes.
    with UsageTrackerGuard(base, tracker) as guard:
        for number in range(500 - events):
            send(guard, tracker, f"last-{number}")
        with pytest.raises(UsageCapReached), guard.reserve("acme", "sms"):
            pytest.fail("nothing may be sent")


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 2**32))
def test_random_histories_never_pass_the_cap(base: Base, tracker: UsageTracker, seed: int) -> None:
    chance = random.Random(seed)
    with psycopg.connect(base.url, autocommit=True) as connection:
        connection.execute("drop schema if exists marts cascade; drop schema if exists intermediate cascade")
        connection.execute("truncate ops.live_usage, raw.usage_events, raw.usage_event_keys")
        connection.execute("create schema marts authorization metering_transformer")
        connection.execute("create schema intermediate authorization metering_transformer")
    cap = chance.randrange(20, 300)
    base.make_marts(cap=cap)
    guards = [
        UsageGuard(base.url, tracker=tracker, timeout=20, lease_seconds=chance.choice((0.01, 1, 30))) for _ in range(2)
    ]
    used = Decimal(0)
    for number in range(chance.randrange(10, 120)):
        guard, units = chance.choice(guards), chance.randrange(1, 4)
        what = chance.random()
        try:
            with guard.reserve("acme", "sms", units) as reservation:
                if what < 0.2:
                    raise RuntimeError("not sent")
                sent = chance.randrange(units + 1)
                used += sent
                if what < 0.4:
                    reservation.settle_as(f"{seed}-{number}", sent)
                else:
                    tracker.record("acme", "twilio_sms", units=sent, external_id=f"{seed}-{number}")
        except (RuntimeError, UsageCapReached):
            pass
        if what > 0.9:
            ((counted,),) = base.rows("select coalesce(sum(units), 0) from ops.live_usage")
            assert used <= counted <= cap
    for guard in guards:
        guard.close()
    assert tracker.flush()
    assert base.rows("select coalesce(sum(units), 0) from ops.live_usage") == [(used,)]
    assert used <= cap
    assert base.rows(HELD) == [(0,)]


def test_a_killed_process_leaves_its_events_and_its_lease_expires(base: Base, tracker: UsageTracker) -> None:
    base.make_marts(cap=1000)
    program = """
import os, signal, sys
from usage_metering import UsageGuard, UsageTracker
tracker = UsageTracker(sys.argv[1], sys.argv[2])
guard = UsageGuard(sys.argv[1], tracker=tracker, timeout=60, lease_seconds=2, ttl=3)
for number in range(20):
    with guard.reserve("acme", "sms"):
        tracker.record("acme", "twilio_sms", external_id=f"SM{number}")
os.kill(os.getpid(), signal.SIGKILL)
"""
    folder = tracker.status().spool_dir
    environment = {**os.environ, "PYTHONPATH": python_path()}
    done = subprocess.run([sys.executable, "-c", program, base.url, str(folder)], env=environment, check=False)
    assert done.returncode == -9
    ((counted,),) = base.rows("select coalesce(sum(units), 0)::int from ops.live_usage")
    assert counted >= 20  # held until it expires, or arrived
    with UsageTracker(base.url, folder) as heir, UsageTrackerGuard(base, heir) as guard:
        deadline = time.monotonic() + 30
        while (access := guard.check("acme", "sms")).used != 20 or access.reserved:
            assert time.monotonic() < deadline, access
            time.sleep(0.1)


def test_a_forked_child_leases_for_itself(base: Base, guard: UsageGuard, tracker: UsageTracker) -> None:
    for number in range(3):
        send(guard, tracker, f"SM{number}")
    before = base.rows(HELD)
    child = os.fork()
    if child == 0:
        try:
            with guard.reserve("acme", "sms"):
                tracker.record("acme", "twilio_sms", external_id="of the child")
            guard.close()
            os._exit(0 if tracker.flush() else 1)
        except BaseException:
            os._exit(2)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert base.rows(HELD) == before  # the parent's is the parent's
    assert base.rows("select count(*) from raw.usage_events where event_key = 'of the child'") == [(1,)]


def test_with_its_tracker_closed_each_call_asks(base: Base, guard: UsageGuard, tracker: UsageTracker) -> None:
    """A lease could not be ended any more."""
    for number in range(10):
        send(guard, tracker, f"SM{number}")
    tracker.close()
    assert base.rows(HELD) == [(0,)]
    with guard.reserve("acme", "sms", 3):
        assert base.rows(HELD) == [(3,)]


def test_who_waits_for_another_callers_question_is_answered_in_his_own_time(base: Base, tracker: UsageTracker) -> None:
    base.make_marts(cap=1000)
    with UsageTrackerGuard(base, tracker, timeout=2) as guard, psycopg.connect(base.url) as holder:
        send(guard, tracker, "SM0")
        # As while another transaction of this tenant's channel does not end.
        holder.execute("select pg_advisory_xact_lock(hashtextextended('acme/sms', 3))")
        waits: list[float] = []

        def ask() -> None:
            started = time.monotonic()
            with guard.reserve("acme", "sms"):
                waits.append(time.monotonic() - started)

        threads = [threading.Thread(target=ask) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        holder.rollback()
    assert len(waits) == 4  # allowed, by default
    assert max(waits) < 2 + 1


def test_one_caller_asks_for_all_who_wait(base: Base, guard: UsageGuard, tracker: UsageTracker) -> None:
    for number in range(30):
        send(guard, tracker, f"SM{number}")
    threads = [threading.Thread(target=send, args=(guard, tracker, f"T{number}")) for number in range(40)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert tracker.flush()
    assert base.rows("select count(*)::int from ops.live_usage where is_reserved") == [(1,)]
    assert base.rows(USED) == [(70,)]


def test_without_the_database_the_fail_mode_answers(base: Base, tracker: UsageTracker) -> None:
    base.make_marts(cap=1000)
    with UsageTrackerGuard(base, tracker) as warm:
        send(warm, tracker, "SM0")
    with UsageTrackerGuard(base, tracker, timeout=1) as guard:
        send(guard, tracker, "SM1")
        send(guard, tracker, "SM2")
        with base.away():
            send(guard, tracker, "SM3")  # from the lease
            send(guard, tracker, "SM4")  # allowed by default
    assert tracker.flush()
    assert base.keys() == [f"SM{number}" for number in range(5)]


def test_a_database_of_an_older_version_is_asked_for_each_call(
    base: Base, tracker: UsageTracker, caplog: pytest.LogCaptureFixture
) -> None:
    """It has no leases, but the cap: the fail mode is not asked."""
    base.make_marts(cap=10)
    base.rows("drop function ops.lease_usage")
    with UsageTrackerGuard(base, tracker) as guard:
        for number in range(10):
            send(guard, tracker, f"SM{number}")
        with pytest.raises(UsageCapReached), guard.reserve("acme", "sms"):
            pytest.fail("nothing may be sent")
    (message,) = [record.message for record in caplog.records if "lease" in record.message]
    assert message.startswith("no leases until the database is migrated: function ops.lease_usage(")


@pytest.mark.parametrize("given", [0, -1, 61, "5", True])
def test_lease_seconds_are_checked(base: Base, tracker: UsageTracker, given: Any) -> None:
    with pytest.raises(ValueError, match="lease_seconds"):
        UsageGuard(base.url, tracker=tracker, lease_seconds=given)


def test_a_lease_needs_the_tracker_that_records(base: Base) -> None:
    with pytest.raises(ValueError, match=r"UsageGuard\(tracker=…\)"):
        UsageGuard(base.url, lease_seconds=5)
