"""Alerts from marts that the real build made."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime
from typing import Any

import dagster as dg
import psycopg
import pytest

from costs.alerts import ALERT_TYPES, Condition, Settled, evaluate, settle
from orchestration.assets.alerts import build_alerts_asset
from orchestration.partitions import daily_partitions
from orchestration.resources import Warehouse
from tests.dbt.conftest import Project

TODAY = date(2026, 3, 20)


def conditions(project: Project, today: date = TODAY) -> list[Condition]:
    with psycopg.connect(project.url, autocommit=True) as connection:
        found = evaluate(connection, today)
    assert found is not None
    return found


def keys(found: list[Condition]) -> set[tuple[Any, ...]]:
    return {(c.tenant_id, c.alert_type, c.severity, c.channel) for c in found}


def set_thresholds(project: Project, *rows: tuple[str, int, int, int]) -> None:
    project.execute("truncate staging.alert_thresholds")
    for row in rows:
        project.execute("insert into staging.alert_thresholds values (nullif(%s, ''), %s, %s, %s)", *row)


def test_unpriced_usage_of_anybody_is_told_with_its_model(built: Project) -> None:
    found = [c for c in conditions(built) if c.alert_type == "unpriced"]
    assert {(c.tenant_id, c.channel) for c in found} == {("a", "ai"), ("b", "ai"), ("unattributed", "ai")}
    assert all("(openai chat_completion house-model), the first on 2026-02-27" in c.message for c in found)


def test_it_heals_by_itself_when_a_price_arrives(built: Project) -> None:
    built.execute("update marts.usage_monthly set unpriced_unit_count = 0 where tenant_id = 'a'")
    assert {c.tenant_id for c in conditions(built) if c.alert_type == "unpriced"} == {"b", "unattributed"}


def test_a_hole_in_another_unit_than_its_channel_s_is_found(built: Project) -> None:
    built.execute(
        "update marts.usage_monthly set unpriced_unit_count = 0, unpriced_units = '{\"images\": 7}' where tenant_id = 'a' and channel = 'ai'"
    )
    built.execute("update marts.usage_daily set unit = 'images' where tenant_id = 'a' and unpriced_unit_count > 0")
    [found] = [c for c in conditions(built) if c.alert_type == "unpriced" and c.tenant_id == "a"]
    assert " images have no known price (" in found.message


def test_thresholds_are_those_of_the_plan_else_the_default(built: Project) -> None:
    set_thresholds(built, ("", 10**6, 10**6, 10**6), ("starter", 1, 10**6, 10**6))
    assert {c.tenant_id for c in conditions(built) if c.alert_type == "threshold"} == {"a"}
    set_thresholds(built, ("", 1, 2, 10**6), ("starter", 10**6, 10**6, 10**6))
    assert keys([c for c in conditions(built) if c.alert_type == "threshold"]) == {
        ("b", "threshold", "critical", None),
    }


def test_the_suspended_and_the_unattributed_only_have_unpriced_and_drift(built: Project) -> None:
    set_thresholds(built, ("", 0, 0, -1000))
    built.execute("update marts.tenant_usage_status set status = 'over_cap' where month = '2026-03'")
    assert {c.alert_type for c in conditions(built) if c.tenant_id == "a"} >= {"threshold", "cap"}
    built.execute("update marts.tenants set status = 'suspended' where tenant_id = 'a'")
    found = conditions(built)
    assert {c.alert_type for c in found if c.tenant_id in ("a", "unattributed")} <= {"unpriced", "drift"}
    assert {c.alert_type for c in found if c.tenant_id == "b"} >= {"threshold", "cap"}


def test_one_cap_alert_per_channel_for_its_worst_limit(built: Project) -> None:
    built.execute(
        "insert into marts.tenant_usage_status (tenant_id, month, month_start, channel, metric, direction, used, cap,"
        " warning_threshold_pct, percent_used, status, updated_at) values"
        " ('a', '2026-03', '2026-03-01', 'places', 'requests', 'any', 9, 10, 80, 90, 'warning', now()),"
        " ('a', '2026-03', '2026-03-01', 'places', 'units', 'any', 11, 10, 80, 110, 'over_cap', now()),"
        " ('a', '2026-02', '2026-02-01', 'storage', 'units', 'any', 11, 10, 80, 110, 'over_cap', now())"
    )
    (found,) = [c for c in conditions(built) if c.tenant_id == "a" and c.alert_type == "cap"]
    assert (found.severity, found.channel) == ("critical", "places")
    assert found.message == "Usage of places is over its monthly cap: 11 of 10 units"


def test_an_unusual_day_with_its_cause(built: Project) -> None:
    for back in range(2, 60):
        built.execute(
            "insert into marts.usage_summary (id, tenant_id, date, channel, unit, unit_count, request_count,"
            " estimated_cost_cents, unpriced_unit_count, provisional_unit_count, is_final, meta, updated_at)"
            " values (%s, 'a', %s::date - %s, 'places', 'requests', 1, 1, 500, 0, 0, true, '{}', now())",
            f"places{back}",
            TODAY,
            back,
        )
    assert not [c for c in conditions(built) if c.alert_type == "anomaly" and c.channel]
    built.execute("update marts.usage_summary set estimated_cost_cents = 5000 where id = 'places2'")
    built.execute(
        "insert into marts.usage_daily (tenant_id, date, channel, service, operation, direction, source, feature, model,"
        " evidence, unit, unit_count, request_count, input_tokens, cached_input_tokens, cache_write_tokens, cache_write_1h_tokens, output_tokens,"
        " estimated_cost_usd, unpriced_unit_count, updated_at)"
        " select 'a', day::date, 'places', 'google_places', 'search', 'none', 'tracked', feature, '', 'provider', 'requests',"
        " 1, 1, 0, 0, 0, 0, 0, usd, 0, now() from (values ('2026-03-18', 'maps', 47.5), ('2026-03-18', 'leads', 2.5),"
        " ('2026-03-11', 'maps', 2.5), ('2026-03-11', 'leads', 2.5), ('2026-03-04', 'maps', 2.5), ('2026-03-04', 'leads', 2.5),"
        " ('2026-02-25', 'maps', 2.5), ('2026-02-25', 'leads', 2.5)) as rows (day, feature, usd)"
    )
    (found,) = [c for c in conditions(built) if c.alert_type == "anomaly" and c.channel]
    assert found.message == (
        "Cost of places on 2026-03-18 is $50.00 where $5.00 is usual, 100% of the excess from feature maps"
    )
    # Three days later it is over.
    assert not [c for c in conditions(built, date(2026, 3, 21)) if c.alert_type == "anomaly" and c.channel]


def test_a_build_of_old_days_changes_no_alert(built: Project) -> None:
    set_thresholds(built, ("", 1, 2, 10))
    with psycopg.connect(built.url, autocommit=True) as connection:
        found = evaluate(connection, TODAY)
        assert found is not None
        before = settle(connection, ALERT_TYPES, found)
        assert before.opened == len(found) > 5
        built.build("2026-02-01", "2026-02-28")
        set_thresholds(built, ("", 1, 2, 10))
        again = evaluate(connection, TODAY)
        assert again is not None
        assert settle(connection, ALERT_TYPES, again) == Settled(0, 0, before.open, 0)


def test_a_run_whose_clock_is_behind_the_marts_says_nothing(built: Project) -> None:
    with psycopg.connect(built.url, autocommit=True) as connection:
        connection.execute("update ops.builds set as_of = %s", (datetime(2026, 3, 21, tzinfo=UTC),))
        assert evaluate(connection, TODAY) is None
        assert evaluate(connection, date(2026, 3, 21)) is not None


def test_one_build_pinned_to_a_day_to_come_mutes_nothing_once_another_has_followed(built: Project) -> None:
    def insert(build_id: str, as_of: str) -> None:
        built.execute(
            "insert into ops.builds (build_id, window_start, window_end, as_of, started_at, finished_at, status)"
            " values (%s, '2026-03-20', '2026-03-21', %s, clock_timestamp(), clock_timestamp(), 'ok')",
            build_id,
            as_of,
        )

    with psycopg.connect(built.url, autocommit=True) as connection:
        insert("pinned", "2999-01-01 00:00+00")
        assert evaluate(connection, TODAY) is None  # these are that day's marts
        insert("next", "2026-03-20 12:00+00")
        assert evaluate(connection, TODAY) is not None
        # The other way round: a run pinned to the past, that builds as well, would resolve what holds now and tell what held then.
        insert("of today", "2026-03-21 12:00+00")
        insert("pinned to the past", "2026-03-20 12:00+00")
        assert evaluate(connection, TODAY) is None


def test_two_evaluations_at_once_open_each_alert_once(built: Project) -> None:
    set_thresholds(built, ("", 1, 2, 10))
    found = conditions(built)

    def work() -> Settled:
        with psycopg.connect(built.url, autocommit=True) as connection:
            return settle(connection, ALERT_TYPES, found)

    with ThreadPoolExecutor(4) as pool:
        outcomes = [job.result() for job in [pool.submit(work) for _ in range(8)]]
    assert sorted(outcome.opened for outcome in outcomes) == [0] * 7 + [len(found)]
    queued = len([condition for condition in found if condition.severity == "critical"]) * 2
    assert sum(outcome.queued for outcome in outcomes) == queued > 0


def test_the_asset_evaluates_and_says_what_waits(built: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    set_thresholds(built, ("", 1, 2, 10**6))
    for name, value in {"METERING_AS_OF": "2026-03-20", "METERING_START_DATE": "2026-02-01"}.items():
        monkeypatch.setenv(name, value)
    # A backfill of old days: what is told is as of now.
    result = dg.materialize(
        [build_alerts_asset(daily_partitions())],
        partition_key="2026-02-10",
        resources={"warehouse": Warehouse(url=built.url)},
    )
    (materialized,) = result.asset_materializations_for_node("usage_alerts")
    assert materialized.metadata["evaluated"].value is True
    assert materialized.metadata["waiting"].value == 4
    checks = {check.check_name: check for check in result.get_asset_check_evaluations()}
    assert not checks["alerts_are_sent"].passed
    assert checks["alerts_are_sent"].metadata["waiting"].value == [
        "2 by email, SENDGRID_API_KEY and SENDGRID_FROM_EMAIL and ADMIN_EMAIL not set",
        "2 by sms, TWILIO_ACCOUNT_SID and TWILIO_AUTH_TOKEN and TWILIO_PHONE_NUMBER and ADMIN_PHONE_NUMBER not set",
    ]
    assert built.execute(
        "select count(*) from ops.usage_alerts where message = 'Monthly usage has exceeded $0.02'"
    ) == [(2,)]
