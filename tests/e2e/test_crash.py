"""SIGKILL at any point: nothing half-written, nothing left running, and the next runs end where an undisturbed one does."""

from __future__ import annotations

import random
import signal
import time

import psutil
import pytest

from ingestion.run import PROVIDERS
from tests.e2e.system import System
from tests.proof import IS_PROOF

FIRST, MIDDLE, LAST = "2026-10-31", "2026-11-01", "2026-11-02"
KILLS = 8 if IS_PROOF else 1
RUNS = "select count(*) from dagster.runs"


@pytest.mark.timeout(1200)
def test_killed_anywhere_then_run_again_as_two_ranges_at_once_gives_the_same_marts(system: System) -> None:
    # One test: both are compared with the same undisturbed run.
    started = time.monotonic()
    system.rebuild(FIRST, LAST)
    seconds = time.monotonic() - started
    wanted = system.marts()
    wipe(system)

    chance = random.Random(20261121)
    kills = 0
    for _ in range(3 * KILLS):
        runs = system.query(RUNS)
        process, began = system.command("rebuild", "--from", FIRST, "--to", LAST), time.monotonic()
        # Until there is a run a process only starts.
        while process.poll() is None and system.query(RUNS) == runs:
            assert time.monotonic() < began + 400
            time.sleep(0.2)
        began = time.monotonic()
        until = began + chance.uniform(0.0, 1.0) * seconds
        while process.poll() is None and time.monotonic() < until:
            time.sleep(0.05)
        lasted = time.monotonic() - began
        children = psutil.Process(process.pid).children(recursive=True) if process.poll() is None else []
        process.kill()
        process.communicate()
        _, alive = psutil.wait_procs(children, timeout=5)
        assert not alive, f"survivors: {[child.cmdline() for child in alive]}"
        units_are_whole(system)
        if process.returncode == -signal.SIGKILL:
            kills += 1
        else:  # the machine has become faster since a run was timed: what was done already was not killed
            seconds = lasted
        if kills == KILLS:
            break
    assert kills == KILLS

    if IS_PROOF:
        system.rebuild(FIRST, LAST)
        assert system.marts() == wanted
        wipe(system)
    ranges = ((FIRST, MIDDLE), (MIDDLE, LAST))
    for process in [system.command("rebuild", "--from", first, "--to", last) for first, last in ranges]:
        _, errors = process.communicate(timeout=400)
        assert process.returncode == 0, errors
    # Each build may have read raw before the other's ingest: one more build settles what both left.
    system.refresh(FIRST, LAST, only="build")
    assert system.marts() == wanted


def wipe(system: System) -> None:
    """Empty what runs fill, so that a killed run's part would be seen."""
    tables = system.query(
        "select format('%I.%I', schemaname, tablename) from pg_tables where schemaname in ('raw', 'marts')"
        " or (schemaname = 'ops' and tablename in ('source_reads', 'ingest_runs', 'source_days', 'builds'))"
    )
    system.execute("truncate " + ", ".join(row[0] for row in tables))


# Every table whose unit is a day; what is held has no days.
DAILY = [table for spec in PROVIDERS.values() for table in spec.tables if table not in spec.held]


def units_are_whole(system: System) -> None:
    """Each stored day of each table has exactly the rows that its read was recorded with."""
    stored = " union all ".join(
        f"select '{table}' as table_name, account_id, usage_date, count(*) as row_count from raw.{table} group by 2, 3"
        for table in DAILY
    )
    broken = system.query(
        f"with stored as ({stored}), reads as (select * from ops.source_reads where table_name = any(%s))"
        " select table_name, account_id, usage_date, reads.row_count, stored.row_count"
        " from reads full join stored using (table_name, account_id, usage_date)"
        " where coalesce(stored.row_count, 0) is distinct from reads.row_count",
        DAILY,
    )
    assert broken == []
