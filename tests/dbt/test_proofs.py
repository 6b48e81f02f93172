"""Proofs find what differs between marts and raw, and nothing where nothing does."""

from __future__ import annotations

import random
from datetime import date
from pathlib import Path

import dagster as dg
import psycopg
import pytest
from rich.console import Console

import cli.prove
from cli.errors import CommandFailed, UsageError
from costs import price_changes, proofs
from costs.proofs import ProvableDay, choose, daily_marts, proof_conditions, provable_days, prove
from orchestration.automation.proof import proof as proof_job
from orchestration.resources import Warehouse
from tests.dbt.conftest import ALL, AS_OF, Project
from tests.dbt.price_book import PriceBook

DAY = date(2026, 3, 1)
LOOKBACK = 3


def done(project: Project) -> None:
    """Record every day as ingested before its build, which was of 2026-03-20."""
    project.execute(
        "insert into ops.source_days select 'twilio', day::date, builds.started_at, builds.finished_at, '2026-03-20'"
        f" from ops.builds, generate_series('{ALL[0]}'::timestamp, '{ALL[1]}'::timestamp, '1 day') as day"
    )


def provable(project: Project) -> list[ProvableDay]:
    with psycopg.connect(project.url) as connection:
        return provable_days(connection, LOOKBACK)


def days(project: Project, *wanted: date) -> list[ProvableDay]:
    return [day for day in provable(project) if day.usage_date in wanted]


def conditions(project: Project) -> list[tuple[str, str, str]]:
    with psycopg.connect(project.url) as connection:
        return [(c.tenant_id, c.alert_type, c.severity) for c in proof_conditions(connection)]


def test_untouched_marts_are_proven_and_each_kind_of_corruption_is_found(built: Project) -> None:
    done(built)
    # A tenant that came after the build has rows of zeros in a rebuild; they say nothing.
    built.insert(
        "tenants",
        [{"tenant_id": "new", "name": "New", "plan": "pro", "status": "active", "usage_hard_stop_enabled": False}],
    )
    quiet = date(2026, 2, 20)
    (nothing, fine) = prove(built.url, days(built, quiet, DAY), lookback_days=LOOKBACK)
    assert [(p.status, p.rows_different) for p in (nothing, fine)] == [("equal", 0)] * 2
    assert fine.rows_compared > 20
    assert conditions(built) == []

    # A digit; a row too many and, on the same day, a row too few; each in another mart.
    digit, rows = date(2026, 2, 27), date(2026, 2, 28)
    built.execute(
        "update marts.usage_daily set estimated_cost_usd = estimated_cost_usd + 0.000000000000000001"
        " where tenant_id = 'a' and date = %s and channel = 'sms'",
        digit,
    )
    built.execute(
        "insert into marts.usage_activity_daily select tenant_id, date, channel, service, operation, 'ghost', unit_count,"
        " request_count, estimated_cost_usd, updated_at from marts.usage_activity_daily where tenant_id = 'b' and date = %s limit 1",
        rows,
    )
    built.execute(
        "delete from marts.usage_summary where tenant_id = 'unattributed' and date = %s and channel = 'ai'", rows
    )
    found = prove(built.url, days(built, digit, rows), lookback_days=LOOKBACK)
    assert [(p.usage_date, p.status, p.rows_different) for p in found] == [
        (digit, "different", 2),
        (rows, "different", 2),
    ]
    assert {(d["mart"], d["side"]) for d in found[0].differences} == {
        ("usage_daily", "built"),
        ("usage_daily", "proven"),
    }
    assert {(d["mart"], d["side"], d["tenantId"]) for d in found[1].differences} == {
        ("usage_activity_daily", "built", "b"),
        ("usage_summary", "proven", "unattributed"),
    }
    assert conditions(built) == [(tenant, "drift", "critical") for tenant in ("a", "b", "unattributed")]
    # Who must not see it, does not; the owner does.
    assert built.execute("select * from ops.proof_status") == [(None, 0, [])]

    # Built again, they are what raw gives: the condition has ended, and the next proof says so.
    built.build("2026-02-27", "2026-03-02")
    assert conditions(built) == []
    done_again = "update ops.source_days set built_at = (select max(finished_at) from ops.builds)"
    built.execute(done_again)
    with psycopg.connect(built.url) as connection:
        assert set(proofs.doubted_days(connection)) == {digit, rows}
    (healed,) = prove(built.url, days(built, digit), lookback_days=LOOKBACK)
    assert healed.status == "equal"


def test_a_price_book_that_says_more_of_the_same_prices_differs_in_nothing(
    built: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done(built)
    outbound = "twilio_sms,outbound,,,unit,0.0083,1,"
    book = PriceBook(tmp_path, monkeypatch)
    book.replace(f"{outbound}2024-01-01,,", f"{outbound}2024-01-01,2026-02-28,before\n{outbound}2026-02-28,2026-06-01,")
    with book.path.open("a") as file:
        file.write("openai,chat_completion,nobody-uses-it,,input,1,1,2024-01-01,,new\n")
    assert price_changes.affected_days(built.url, price_changes.seed_rows()) == []
    (proven,) = prove(built.url, days(built, DAY), lookback_days=LOOKBACK)
    assert (proven.status, list(proven.differences)) == ("equal", [])

    book.replace(f"{outbound}2026-02-28,2026-06-01,", "twilio_sms,outbound,,,unit,0.0084,1,2026-02-28,2026-06-01,")
    (dearer,) = prove(built.url, days(built, DAY), lookback_days=LOOKBACK)
    assert {"price_sets", "usage_daily", "usage_lines"} <= {found["mart"] for found in dearer.differences}


def test_every_tenant_that_differs_is_among_the_differences_kept() -> None:
    found = [{"tenantId": tenant, "mart": "usage_daily"} for tenant in ["a"] * 60 + [f"t{n}" for n in range(70)]]
    assert {one["tenantId"] for one in proofs.kept(found)} == {one["tenantId"] for one in found}
    assert len(proofs.kept(found[:60])) == proofs.KEPT_DIFFERENCES


def test_only_days_whose_figures_stand_still_can_be_proven(built: Project) -> None:
    assert provable(built) == []
    done(built)
    every = [day.usage_date for day in provable(built)]
    assert (every[0], every[-1]) == (date(2026, 2, 1), date(2026, 3, 16))
    assert {day.as_of for day in provable(built)} == {AS_OF}
    built.execute("update ops.source_days set ingested_at = clock_timestamp() where usage_date = '2026-02-02'")
    built.execute("update ops.source_days set built_at = null where usage_date = '2026-02-03'")
    built.execute("insert into ops.touched_days (usage_date, load_id) values ('2026-02-04', 'l')")
    built.execute(
        "insert into ops.closed_months values ('2026-03', '2026-03-01', '2026-03-31', now(), 'kim', 'v', '', 0, 'root')"
    )
    left = {day.usage_date for day in provable(built)}
    assert set(every) - left == {date(2026, 2, 2), date(2026, 2, 3), date(2026, 2, 4)} | {
        day for day in every if day.month == 3
    }


def test_a_day_that_moves_while_it_is_proven_says_nothing(built: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    done(built)
    chosen = days(built, DAY)
    built.execute("delete from marts.usage_daily where date = %s", DAY)
    built.execute("update ops.source_days set ingested_at = clock_timestamp() where usage_date = %s", DAY)
    (moved,) = prove(built.url, chosen, lookback_days=LOOKBACK)
    assert moved.status == "moved"
    assert conditions(built) == []

    monkeypatch.setattr(cli.prove, "prepared_database", lambda: built.url)
    with pytest.raises(UsageError, match="2026-03-01 cannot be proven"):
        cli.prove.run_prove(1, ["2026-03-01"], console=None)  # type: ignore[arg-type]


def test_the_job_proves_alerts_and_fails(built: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    done(built)
    monkeypatch.setenv("METERING_AS_OF", AS_OF.isoformat())
    built.execute("delete from ops.source_days where usage_date not in ('2026-02-27', '2026-03-05')")
    built.execute("update marts.usage_daily set unit_count = unit_count + 1 where tenant_id = 'b'")
    with dg.DagsterInstance.ephemeral() as instance:
        result = proof_job.execute_in_process(
            run_config={"ops": {"prove_days": {"config": {"days": 2}}}},
            resources={"warehouse": Warehouse(url=built.url)},
            instance=instance,
            raise_on_error=False,
        )
    assert not result.success
    assert built.execute("select usage_date, status from ops.proofs order by 1") == [
        (date(2026, 2, 27), "different"),
        (date(2026, 3, 5), "equal"),
    ]
    assert built.execute(
        "select tenant_id, alert_type, severity from ops.usage_alerts where severity = 'critical'"
    ) == [("b", "drift", "critical")]
    monkeypatch.setattr(cli.prove, "prepared_database", lambda: built.url)
    with pytest.raises(CommandFailed, match="the marts of 2026-02-27 differ from a rebuild of raw"):
        cli.prove.run_prove(1, ["2026-02-27"], console=Console(quiet=True))


def test_the_choice_is_of_other_days_each_time_and_takes_doubted_ones() -> None:
    all_days = [ProvableDay(date(2026, 1, day), "b", AS_OF) for day in range(1, 31)]
    choices = [
        [day.usage_date for day in choose(all_days, [date(2026, 1, 7), date(2025, 1, 1)], 3, random.Random(seed))]
        for seed in range(50)
    ]
    assert all(len(set(choice)) == 4 and date(2026, 1, 7) in choice for choice in choices)
    assert len({day for choice in choices for day in choice}) == 30
    assert len(choose(all_days[:2], [], 3, random.Random(1))) == 2


def test_every_daily_mart_is_proven() -> None:
    assert {mart.name for mart in daily_marts()} >= {
        "usage_daily",
        "usage_summary",
        "billing_usage_daily",
        "usage_activity_daily",
        "usage_reconciliation",
    }
    assert {mart.name for mart in daily_marts() if mart.is_dense} == {"billing_usage_daily"}
