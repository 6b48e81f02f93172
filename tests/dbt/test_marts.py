"""What the marts promise their readers: types, row-level security, and tests that notice a wrong row."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import psycopg
import pytest
from dbt.cli.main import dbtRunner

from builds.build import BuildFailed
from builds.dbt_manifest import global_arguments, parsed_project
from tests.dbt.conftest import ALL, MARTS, VIEWS, Project

SHARED = ("plan_limits", "channel_prices", "price_sets")
VARS = '{"window_start": "2026-02-01", "window_end": "2026-03-21", "as_of": "2026-03-20 12:00:00"}'


def as_api(url: str, tenant: str | None = None, role: str | None = None) -> psycopg.Connection:
    """Return a connection with the API's role, of this tenant or role."""
    connection = psycopg.connect(url, autocommit=True)
    connection.execute("set role metering_api")
    for name, value in (("metering.tenant_id", tenant), ("metering.role", role)):
        if value is not None:
            connection.execute("select set_config(%s, %s, false)", (name, value))
    return connection


def count(connection: psycopg.Connection, statement: str) -> int:
    row = connection.execute(statement.encode()).fetchone()
    assert row is not None
    return int(row[0])


def test_every_table_of_marts_is_known_to_these_tests(built: Project) -> None:
    found = built.execute(
        "select relname from pg_class where relnamespace = 'marts'::regnamespace and relkind in ('r', 'p', 'v', 'm')"
    )
    # Two show records of raw to who may see their lines (test_explain, test_unattributed), one is of constants (test_semantic_models).
    assert {name for (name,) in found} - {"usage_line_records", "unattributed_usage", "calendar_days"} == set(MARTS)


def test_without_a_tenant_no_row_is_seen(built: Project) -> None:
    for tenant, role in ((None, None), ("", ""), ("", "tenant_admin")):
        with as_api(built.url, tenant, role) as connection:
            assert {name: count(connection, f"select count(*) from marts.{name}") for name in MARTS} == dict.fromkeys(
                MARTS, 0
            )


def test_a_tenant_sees_its_own_rows_only(built: Project) -> None:
    for tenant in "ab":
        with as_api(built.url, tenant) as connection:
            for name in MARTS:
                if name in SHARED:
                    continue
                own = len(built.mart(name, f"tenant_id = '{tenant}'"))
                assert own > 0
                assert count(connection, f"select count(*) from marts.{name}") == own
                assert count(connection, f"select count(*) from marts.{name} where tenant_id <> '{tenant}'") == 0


def test_a_root_admin_sees_all(built: Project) -> None:
    with as_api(built.url, role="root_admin") as connection:
        for name in MARTS:
            assert count(connection, f"select count(*) from marts.{name}") == len(built.mart(name)) > 0


@pytest.mark.parametrize("name", MARTS)
def test_the_api_can_write_nothing(built: Project, name: str) -> None:
    # Nobody can write to a view or truncate it, whatever the rights.
    refused = (
        psycopg.errors.InsufficientPrivilege,
        *((psycopg.errors.ObjectNotInPrerequisiteState, psycopg.errors.WrongObjectType) if name in VIEWS else ()),
    )
    with as_api(built.url, "a", "root_admin") as connection:
        for statement in (
            f"insert into marts.{name} select * from marts.{name}",
            f"update marts.{name} set {'plan = null' if name == 'plan_limits' else 'updated_at = now()'}",
            f"delete from marts.{name}",
            f"truncate marts.{name}",
            f"drop table marts.{name}",
            f"alter table marts.{name} disable row level security",
        ):
            with pytest.raises(refused):
                connection.execute(statement.encode())


def test_the_api_reads_no_other_schema(built: Project) -> None:
    with as_api(built.url, "a", "root_admin") as connection:
        for relation in (
            "raw.twilio_messages",
            "staging.stg_twilio__messages",
            "intermediate.int_usage_lines_estimated",
            "ops.builds",
        ):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute(f"select * from {relation}".encode())


def test_money_and_quantities_are_exact_decimals(built: Project) -> None:
    found = built.execute(
        "select table_name || '.' || column_name, data_type, numeric_precision, numeric_scale"
        " from information_schema.columns where table_schema = 'marts'"
        " and (data_type in ('numeric', 'real', 'double precision')"
        "   or column_name ~ '(_usd|_cents|_percent|_pct|unit_count|_minutes|used|cap)$')"
    )
    assert len(found) > 30
    assert {row[1:] for row in found} == {("numeric", 38, 18)}


def test_every_mart_is_indexed_by_tenant_and_time(built: Project) -> None:
    for name in (
        "usage_daily",
        "usage_summary",
        "billing_usage_daily",
        "usage_monthly",
        "tenant_monthly",
        "tenant_margin_monthly",
        "tenant_usage_status",
    ):
        found = [
            row[0]
            for row in built.execute(
                "select indexdef from pg_indexes where schemaname = 'marts' and tablename = %s", name
            )
        ]
        time = "month" if "month" in name or name == "tenant_usage_status" else "date"
        assert any(f"(tenant_id, {time}" in index for index in found), name
        assert any(f"({time})" in index for index in found), name


def failing_tests(target: Path, select: str = "*") -> set[str]:
    """Run the data tests alone, or the one that is selected; return the names of those that fail."""
    outcome: Any = dbtRunner(manifest=parsed_project().manifest).invoke(
        [
            *("test", "--exclude-resource-type", "unit_test", "--vars", VARS, "--select", select),
            *("--target-path", str(target), "--log-path", str(target)),
            *global_arguments(),
        ]
    )
    assert len(outcome.result) > 0, f"no data test is called {select}"
    return {result.node.name for result in outcome.result if result.status != "pass"}


def test_the_data_tests_pass_where_nothing_is_wrong(built: Project, tmp_path: Path) -> None:
    assert failing_tests(tmp_path) == set()


@pytest.mark.parametrize(
    ("tampering", "refused_by"),
    [
        ("update marts.tenants set status = 'asleep'", "tenants_status_is_known"),
        ("update marts.usage_daily set evidence = 'rumour'", "usage_daily_evidence_is_known"),
        ("update marts.usage_daily set direction = 'up'", "usage_daily_direction_is_known"),
        ("update marts.usage_lines set evidence = 'rumour'", "usage_lines_evidence_is_known"),
        ("update marts.usage_reconciliation set state = 'odd'", "usage_reconciliation_state_is_known"),
        ("update marts.tenant_usage_status set status = 'odd'", "tenant_usage_status_status_is_known"),
        ("update marts.tenant_monthly set usage_status = 'odd'", "tenant_monthly_usage_status_is_known"),
        ("insert into marts.usage_daily select * from marts.usage_daily", "usage_daily_pkey"),
    ],
)
def test_what_no_mart_may_hold_is_refused(built: Project, tampering: str, refused_by: str) -> None:
    with pytest.raises(psycopg.errors.IntegrityError, match=refused_by):
        built.execute(tampering)


@pytest.mark.parametrize(
    ("tampering", "noticed_by"),
    [
        (
            "update marts.usage_daily set unit_count = unit_count + 1 where channel = 'sms'",
            "usage_daily_equals_staging",
        ),
        (
            "update marts.usage_daily set request_count = request_count + 1 where channel = 'email'",
            "usage_daily_equals_staging",
        ),
        ("delete from marts.usage_daily where channel = 'voice'", "usage_daily_equals_staging"),
        (
            "update marts.usage_daily set billed_cost_usd = billed_cost_usd + 1e-18 where service = 'openai'",
            "usage_daily_bills_costs",
        ),
        ("update marts.usage_summary set unit_count = unit_count + 1", "usage_summary_equals_usage_daily"),
        (
            "update marts.usage_summary set estimated_cost_cents = estimated_cost_cents + 1e-16",
            "usage_summary_equals_usage_daily",
        ),
        ("delete from marts.usage_summary where date = '2026-03-01'", "usage_summary_equals_usage_daily"),
        ("update marts.billing_usage_daily set estimated_cost_usd = 1", "usage_summary_equals_usage_daily"),
        (
            "update marts.tenant_monthly set openai_cost_cents = openai_cost_cents + 1",
            "tenant_monthly_services_sum_to_total",
        ),
        (
            "update marts.usage_monthly set estimated_cost_cents = estimated_cost_cents + 1",
            "tenant_monthly_services_sum_to_total",
        ),
        (
            "update marts.usage_lines set estimated_cost_usd = estimated_cost_usd + 1e-18 where channel = 'ai'",
            "usage_lines__sum_to_usage_daily",
        ),
        (
            "update marts.usage_activity_daily set estimated_cost_usd = null where unit_count = 0 or channel = 'sms'",
            "usage_activity_daily__sums_to_usage_daily",
        ),
        (
            "update marts.usage_lines set billed_cost_usd = billed_cost_usd + 1e-18 where channel = 'ai'",
            "focus_equals_usage_daily",
        ),
        (
            "update marts.tenant_margin_monthly set full_cost_cents = full_cost_cents + 1e-18 where tenant_id = 'b'",
            "tenant_margin_monthly_sums_to_providers",
        ),
        (
            "update marts.tenant_margin_monthly set revenue_cents = revenue_cents + 1e-18 where tenant_id = 'a'",
            "tenant_margin_monthly_agrees_with_tenant_monthly",
        ),
        (
            "delete from marts.tenant_margin_monthly where tenant_id = 'unattributed'",
            "tenant_margin_monthly_agrees_with_tenant_monthly",
        ),
    ],
)
def test_the_data_tests_notice_a_wrong_row(built: Project, tmp_path: Path, tampering: str, noticed_by: str) -> None:
    built.execute(tampering)
    assert failing_tests(tmp_path, noticed_by) == {noticed_by}


def test_overlapping_owners_fail_the_build(filled: Project) -> None:
    filled.insert(
        "tenant_resources",
        [
            {
                "tenant_id": "b",
                "provider": "twilio",
                "resource_type": "subaccount",
                "resource_id": "ACa",
                "valid_from": "2026-03-01",
            }
        ],
    )
    with pytest.raises(BuildFailed, match="periods_do_not_overlap"):
        filled.build_and_test(*ALL)
    assert filled.execute("select status from ops.builds order by started_at desc limit 1") == [("failed",)]
