"""Nothing is lost and nothing doubled: a full disk, a database that is away, a fork, a restart."""

from __future__ import annotations

import errno
import logging
import os
import resource
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.paths import python_path
from tests.sdk.conftest import OWN, Base
from usage_metering import UsageEvent, UsageTracker
from usage_metering import spool as spooling
from usage_metering.flush import adopt
from usage_metering.store import LINES_AT_ONCE, Store, event_line


def refuse(*_: object) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


def test_a_full_disk_means_a_direct_insert(
    base: Base, tracker: UsageTracker, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with monkeypatch.context() as patch, caplog.at_level(logging.WARNING):
        patch.setattr(spooling, "sync", refuse)
        assert tracker.record("acme", "internal", idempotency_key="a") == f"{OWN}a"
        assert base.keys() == [f"{OWN}a"]
        assert "inserted directly" in caplog.text
    tracker.record("acme", "internal", idempotency_key="b")
    assert tracker.flush(10)
    assert base.keys() == [f"{OWN}a", f"{OWN}b"]
    assert (tracker.status().inserted_directly, tracker.status().lost) == (1, 0)


def test_a_file_size_limit_means_a_direct_insert(base: Base, tmp_path: Path) -> None:
    with UsageTracker(base.url, tmp_path / "spool", flush_interval=60) as tracker:
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (2_000, hard))
        try:
            for number in range(20):
                assert tracker.record("acme", "internal", idempotency_key=f"k{number:02d}")
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        assert tracker.status().inserted_directly > 0
        assert tracker.status().depth > 0
    assert base.keys() == [f"{OWN}k{number:02d}" for number in range(20)]


def test_when_both_refuse_it_is_counted_told_and_quick(
    base: Base, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    losses: list[dict[str, Any]] = []

    def on_loss(row: dict[str, Any], reason: Exception) -> None:
        losses.append(row)
        raise RuntimeError("a bad callback")

    monkeypatch.setattr(spooling, "sync", refuse)
    tracker = UsageTracker(base.url, tmp_path / "spool", on_loss=on_loss)
    with base.away(), caplog.at_level(logging.ERROR):
        started = time.monotonic()
        assert tracker.record("acme", "internal", idempotency_key="a") is None
        assert time.monotonic() - started < 3
    assert [row["event_key"] for row in losses] == [f"{OWN}a"]
    assert tracker.status().lost == 1
    assert f"an event is lost: key {OWN}a" in caplog.text
    assert tracker.record("acme", "internal", idempotency_key="b") == f"{OWN}b"
    tracker.close()
    assert base.keys() == [f"{OWN}b"]


def test_a_database_that_is_away_costs_the_caller_nothing(
    base: Base, tracker: UsageTracker, caplog: pytest.LogCaptureFixture
) -> None:
    with base.away(), caplog.at_level(logging.WARNING):
        started = time.monotonic()
        for number in range(100):
            assert tracker.record("acme", "internal", idempotency_key=f"k{number:03d}")
        assert time.monotonic() - started < 5
        assert not tracker.flush(0.5)
        status = tracker.status()
        assert status.depth == 100
        assert status.oldest_age_seconds is not None
        assert status.oldest_age_seconds > 0.4
        assert status.database_error is not None
        assert "does not accept events" in caplog.text
    assert tracker.flush(20)
    assert base.keys() == [f"{OWN}k{number:03d}" for number in range(100)]
    assert tracker.status().database_error is None
    assert tracker.status().depth == 0


def test_a_database_that_is_not_migrated_loses_nothing(empty_database: str, tmp_path: Path) -> None:
    with psycopg.connect(empty_database) as connection:
        connection.execute("select 1 from pg_roles")
    tracker = UsageTracker(empty_database, tmp_path / "spool", flush_interval=0.05)
    assert tracker.record("acme", "internal", idempotency_key="a")
    assert not tracker.flush(1)
    assert tracker.status().depth == 1
    assert not tracker.close(0)


def test_without_a_database_events_wait(base: Base, tmp_path: Path) -> None:
    with UsageTracker(spool_dir=tmp_path / "spool") as tracker:
        assert tracker.record("acme", "internal", idempotency_key="a")
        assert not tracker.flush(0.1)
    with UsageTracker(base.url, tmp_path / "spool") as tracker:
        wait_for(lambda: base.keys() == [f"{OWN}a"])


def wait_for(condition: Any, seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.05)


WORKER = """
import os, sys
from usage_metering import UsageEvent, UsageTracker
tracker = UsageTracker(sys.argv[1], sys.argv[2], flush_interval=3600)
for number in range(int(sys.argv[3])):
    print(tracker.record("acme", "internal", idempotency_key=f"w{number}"), flush=True)
os.kill(os.getpid(), 9)
"""


def test_what_a_killed_process_left_is_brought_by_the_next(base: Base, tmp_path: Path) -> None:
    environ = {**os.environ, "PYTHONPATH": python_path()}
    # The worker's first flush may happen before its first event; nothing is flushed after that.
    done = subprocess.run(
        [sys.executable, "-c", WORKER, base.url, str(tmp_path / "spool"), "20"],
        env=environ,
        capture_output=True,
        text=True,
        check=False,
    )
    acknowledged = done.stdout.split()
    assert len(acknowledged) == 20, done.stderr
    with UsageTracker(base.url, tmp_path / "spool") as tracker:
        wait_for(lambda: len(base.keys()) == 20)
        wait_for(lambda: tracker.status().adopted > 0)
    assert base.keys() == sorted(acknowledged)
    assert list((tmp_path / "spool").iterdir()) == []


def test_a_script_that_just_ends_has_brought_its_events(base: Base, tmp_path: Path) -> None:
    environ = {**os.environ, "PYTHONPATH": python_path()}
    script = WORKER.replace("os.kill(os.getpid(), 9)", "")
    subprocess.run(
        [sys.executable, "-c", script, base.url, str(tmp_path / "spool"), "5"],
        env=environ,
        capture_output=True,
        check=True,
    )
    assert len(base.keys()) == 5
    assert list((tmp_path / "spool").iterdir()) == []


def test_a_crash_between_commit_and_deletion_doubles_nothing(base: Base, tmp_path: Path) -> None:
    with UsageTracker(spool_dir=tmp_path / "spool") as tracker:
        for number in range(5):
            tracker.record("acme", "internal", idempotency_key=str(number))
        batch = tracker._spool.next_batch(100)
        assert batch is not None
        Store(base.url).load(batch.lines)  # committed; and here the process dies
    found, writers = adopt(tmp_path / "spool", Store(base.url))
    assert (found.inserted, found.duplicates, writers) == (0, 5, 1)
    assert len(base.keys()) == 5


def test_a_connection_that_breaks_in_the_middle_is_no_commit(base: Base, monkeypatch: pytest.MonkeyPatch) -> None:
    """psycopg ends a transaction quietly when it finds the connection broken at its end."""
    store = Store(base.url)

    def break_off(connection: psycopg.Connection[Any], *_: object) -> None:
        base.rows("select pg_terminate_backend(%s)", connection.info.backend_pid)
        with pytest.raises(psycopg.OperationalError), connection.transaction():
            connection.execute("select 1")

    monkeypatch.setattr(store, "_add_live_usage", break_off)
    line = event_line(UsageEvent.make(service="internal", now=datetime.now(UTC), event_key="a"), time.time())
    with pytest.raises(psycopg.OperationalError, match="before the commit"):
        store.load([line])
    monkeypatch.undo()
    assert store.load([line]).inserted == 1
    store.close()
    assert base.keys() == ["a"]


def test_waiting_for_a_database_that_is_away_does_not_hammer_it(base: Base, tracker: UsageTracker) -> None:
    with base.away():
        tracker.record("acme", "internal")
        assert not tracker.flush(1.5)
        assert tracker.status().flush_failures < 15


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_parent_and_forked_child_both_record(base: Base, tracker: UsageTracker) -> None:
    tracker.record("acme", "internal", idempotency_key="before")
    child = os.fork()
    if child == 0:
        code = 1
        try:
            ok = all(tracker.record("acme", "internal", idempotency_key=f"child{n}") for n in range(20))
            status = tracker.status()
            code = 0 if ok and tracker.flush(20) and status.recorded == 20 else 2
        finally:
            os._exit(code)
    for number in range(20):
        tracker.record("acme", "internal", idempotency_key=f"parent{number}")
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert tracker.flush(20)
    assert len(base.keys()) == 41
    assert tracker.status().duplicates == 0


def test_each_of_many_lines_is_told_what_became_of_it(base: Base) -> None:
    """Also where they do not fit into one statement, and where a body has line ends of its own."""
    lines = [
        event_line(UsageEvent.make(service="internal", now=datetime.now(UTC), event_key=f"e{number}"), time.time())
        for number in range(LINES_AT_ONCE)
    ]
    different = UsageEvent.make(service="internal", now=datetime.now(UTC), event_key="e1", units=2)
    spread = [line._replace(body=line.body.replace(b",", b",\n")) for line in lines[:2]]
    new = event_line(UsageEvent.make(service="internal", now=datetime.now(UTC), event_key="last"), time.time())
    store = Store(base.url)
    loaded = store.load([*lines, event_line(different, time.time()), spread[0], new])
    store.close()
    assert loaded.by_line == (*["inserted"] * LINES_AT_ONCE, "rejected", "duplicate", "inserted")
    assert base.rows(
        "select event_key, units::int from raw.usage_events where event_key in ('e1', 'last') order by 1"
    ) == [
        ("e1", 1),
        ("last", 1),
    ]
    assert base.rows("select record_key, record ->> 'units' from raw.rejected_records") == [("e1", "2")]
