"""Rebuilding: twice, in halves, in another order, and only one half of the work; two at once stands in test_crash.py."""

from __future__ import annotations

import csv
from concurrent.futures import ThreadPoolExecutor

import pytest

from cli.errors import CommandFailed
from ingestion.directory.parse import CHANNELS
from ingestion.run import PROVIDERS
from tests.e2e.conftest import FIRST as BUILT_FROM
from tests.e2e.system import System
from tests.proof import LONG

# Whole builds, on a slow machine beside others: what hangs is still ended.
pytestmark = pytest.mark.timeout(600)

FIRST, LAST = "2026-10-27", "2026-11-10"


# tests/dbt/test_windows.py has it of builds, tests/ingestion/test_run.py of ingests.
@LONG
def test_any_order_and_number_of_rebuilds_ends_in_the_same_marts(built_system: System) -> None:
    system = built_system
    once = system.marts()
    assert all(once[table] for table in ("usage_daily", "usage_summary", "billing_usage_daily", "tenant_monthly"))
    channels = {channel for (channel,) in system.query("select distinct channel from marts.usage_summary")}
    assert channels == {*CHANNELS} - {"places", "internal"}, "of every channel that a provider reports, something"

    system.refresh(FIRST, LAST)
    assert system.marts() == once, "twice, without a job"

    system.refresh("2026-11-01", LAST)
    system.refresh(FIRST, "2026-10-31")
    assert system.marts() == once, "two halves, the later one first"

    system.execute(
        "truncate marts.usage_daily, marts.usage_summary, marts.billing_usage_daily, marts.usage_monthly,"
        " marts.tenant_monthly, marts.tenant_usage_status"
    )
    for first, last in (("2026-11-05", LAST), (BUILT_FROM.isoformat(), "2026-10-29"), ("2026-10-30", "2026-11-04")):
        system.refresh(first, last, only="build")
    assert system.marts() == once, "from empty, in thirds, out of order"


def test_only_ingest_leaves_the_marts_and_only_build_catches_up(system: System) -> None:
    system.rebuild("2026-11-01", "2026-11-05", only="ingest")
    assert system.query("select count(*) from raw.twilio_messages")[0][0] > 0
    assert system.marts().get("usage_daily", []) == []
    assert system.query("select count(*) from ops.source_days where built_at is not null") == [(0,)]
    sessions = "select sessions from pg_stat_database where datname = current_database()"
    before = system.query(sessions)[0][0]
    system.rebuild("2026-11-01", "2026-11-05", only="build")
    assert system.query(sessions)[0][0] - before < 400, "Dagster's storage connects for each statement"
    assert len(system.marts()["usage_daily"]) > 0
    assert system.query("select count(*) from ops.source_days where built_at is not null")[0][0] == 5 * len(PROVIDERS)


def test_a_remapped_number_moves_its_usage_with_only_build(built_system: System) -> None:
    system = built_system
    before = system.marts()
    totals = "select date, channel, sum(unit_count) from marts.usage_summary group by 1, 2 order by 1, 2"
    totals_before = system.query(totals)
    path = system.directory / "tenant_resources.csv"
    rows = list(csv.DictReader(path.read_text().splitlines()))
    own = next(
        row for row in rows if row["resource_type"] == "phone_number" and not row["valid_from"] and not row["valid_to"]
    )
    other = next(row["tenant_id"] for row in rows if row["tenant_id"] != own["tenant_id"])
    own["valid_to"] = "2026-11-03"
    rows.append({**own, "tenant_id": other, "valid_from": "2026-11-03", "valid_to": "2026-11-05"})
    rows.append({**own, "valid_from": "2026-11-05", "valid_to": ""})
    with path.open("w", newline="") as lines:
        writer = csv.DictWriter(lines, rows[0].keys())
        writer.writeheader()
        writer.writerows(rows)

    system.refresh(FIRST, LAST, only="build")

    assert system.changed_days(before) == {"2026-11-03", "2026-11-04"}
    assert system.query(totals) == totals_before, "no unit is lost on the way"


def test_a_wrong_directory_stops_the_run_and_changes_nothing(built_system: System) -> None:
    system = built_system
    before = system.marts()
    with (system.directory / "tenants.csv").open("a") as lines:
        lines.write("newcomer,Newcomer,platinum,active,false\n")
    with pytest.raises(CommandFailed, match=r"tenants\.csv.*platinum"):
        system.rebuild("2026-11-01", "2026-11-03")
    assert system.marts() == before


# Two wait in tests/e2e/test_crash.py.
@LONG
def test_several_processes_may_wait_for_one_build(built_system: System) -> None:
    system, count = built_system, 3
    once = system.marts()
    with ThreadPoolExecutor(count) as pool:
        processes = [system.command("rebuild", "--from", "2026-11-01", "--to", "2026-11-05") for _ in range(count)]
        ends = list(pool.map(lambda process: (process.communicate(timeout=240), process.returncode), processes))
    assert [code for _, code in ends] == [0] * count, ends
    assert system.marts() == once
