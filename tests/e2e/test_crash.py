"""SIGKILL at any point: nothing half-written, nothing left running, and the next run ends where an undisturbed one does."""

from __future__ import annotations

import random
import signal
import time

import psutil
import pytest

from tests.e2e.system import System

FIRST, LAST = "2026-10-29", "2026-11-03"
KILLS = 8


@pytest.mark.timeout(600)
def test_killed_anywhere_then_run_again_gives_the_same_marts(system: System) -> None:
    started = time.monotonic()
    undisturbed = system.command("rebuild", "--from", FIRST, "--to", LAST)
    _, errors = undisturbed.communicate(timeout=240)
    took = time.monotonic() - started
    assert undisturbed.returncode == 0, errors
    wanted = system.marts()
    wipe(system)

    chance = random.Random(20261121)
    kills = 0
    for _ in range(3 * KILLS):
        process = system.command("rebuild", "--from", FIRST, "--to", LAST)
        time.sleep(chance.uniform(0.3, 1.0) * took)
        children = psutil.Process(process.pid).children(recursive=True) if process.poll() is None else []
        process.kill()
        process.communicate()
        _, alive = psutil.wait_procs(children, timeout=5)
        assert not alive, f"survivors: {[child.cmdline() for child in alive]}"
        units_are_whole(system)
        # The machine may have become faster since the first run was timed: what was done already was not killed.
        kills += process.returncode == -signal.SIGKILL
        if kills == KILLS:
            break
    assert kills == KILLS

    last = system.command("rebuild", "--from", FIRST, "--to", LAST)
    _, errors = last.communicate(timeout=240)
    assert last.returncode == 0, errors
    assert system.marts() == wanted


def wipe(system: System) -> None:
    """Empty what runs fill, so that a killed run's part would be seen."""
    tables = system.query(
        "select format('%I.%I', schemaname, tablename) from pg_tables where schemaname in ('raw', 'marts')"
        " or (schemaname = 'ops' and tablename in ('source_reads', 'ingest_runs', 'source_days', 'builds'))"
    )
    system.execute("truncate " + ", ".join(row[0] for row in tables))


def units_are_whole(system: System) -> None:
    """Each stored day of messages has exactly the rows that its read was recorded with."""
    broken = system.query(
        "select reads.account_id, reads.usage_date, reads.row_count, count(messages.sid)"
        " from ops.source_reads as reads left join raw.twilio_messages as messages"
        "   on messages.account_id = reads.account_id and messages.usage_date = reads.usage_date"
        " where reads.table_name = 'twilio_messages' group by 1, 2, 3 having count(messages.sid) <> reads.row_count"
    )
    orphans = system.query(
        "select distinct usage_date from raw.twilio_messages as messages where not exists (select 1 from ops.source_reads as reads"
        " where reads.table_name = 'twilio_messages' and reads.account_id = messages.account_id"
        "   and reads.usage_date = messages.usage_date)"
    )
    assert broken == []
    assert orphans == []
