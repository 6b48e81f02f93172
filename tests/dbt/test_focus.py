"""The FOCUS mart: its columns are the export's, its sums the marts', and the official validator has nothing against it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import UTC, date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from api.exports.focus_columns import ALLOCATION_METHOD, COLUMNS, OLDEST, SPECS, columns_of, selected
from api.exports.queries import focus_of_all
from api.kit.periods import DayRange
from cli.explain import export_focus
from costs.closing import close_month
from tests.conftest import built_once
from tests.dbt.conftest import ALL, AS_OF, Project, copy_of, libraries_of_dbt
from tests.dbt.test_marts import as_api
from tests.focus.requirements import Row, broken
from tests.focus.requirements import charges as read_charges
from tests.focus.validator import excused_rules, find_python, validate
from tests.proof import LONG

OWN = {"tenant_id", "date", "charge_id", "updated_at"}
TYPES = {"text": "text", "numeric": "decimal", "timestamp with time zone": "instant"}


def charges(project: Project, where: str) -> list[dict[str, Any]]:
    names = [name for name, _ in COLUMNS]
    selected = ", ".join(f'"{name}"' for name in names)
    rows = project.execute(
        f'select {selected} from marts.focus_cost_and_usage where {where} order by date, "x_Component"'
    )
    return [dict(zip(names, row, strict=True)) for row in rows]


def test_the_exported_columns_are_the_marts(tracked: Project) -> None:
    found = tracked.execute(
        "select column_name, data_type from information_schema.columns"
        " where table_schema = 'marts' and table_name = 'focus_cost_and_usage' order by ordinal_position"
    )
    assert [(name, TYPES[kind]) for name, kind in found if name not in OWN] == list(COLUMNS)


def test_it_is_the_marts_money_to_the_last_digit(tracked: Project) -> None:
    ((billed, estimated, unpriced),) = tracked.execute(
        'select sum("BilledCost"), sum("x_EstimatedCost"), sum("x_UnpricedQuantity") from marts.focus_cost_and_usage'
    )
    ((of_marts, estimates, units),) = tracked.execute(
        "select sum(coalesce(billed_cost_usd, estimated_cost_usd, 0)), sum(estimated_cost_usd),"
        " sum(unpriced_unit_count) from marts.usage_daily"
    )
    assert (billed, estimated, unpriced) == (of_marts, estimates, units)
    assert unpriced > 0


def test_tokens_are_charged_by_component_and_a_bill_is_spread_over_them(tracked: Project) -> None:
    rows = charges(tracked, """tenant_id = 'b' and date = '2026-03-01' and "x_Model" like 'gpt-4o-mini%'""")
    assert [(row["x_Component"], row["ConsumedQuantity"], row["PricingUnit"]) for row in rows] == [
        ("cached_input", 10, "1000000 Tokens"),
        ("input", 991, "1000000 Tokens"),
        ("output", 7, "1000000 Tokens"),
    ]
    for row in rows:
        assert row["ListUnitPrice"] * row["PricingQuantity"] == row["ListCost"] == row["x_EstimatedCost"]
        assert row["SkuPriceId"].startswith(
            f"{row['SkuId'].replace('/' + row['x_Component'], '')}//{row['x_Component']}/"
        )
        assert row["x_CostStatus"] == "billed"
    ((billed,),) = tracked.execute(
        "select billed_cost_usd from marts.usage_daily"
        " where tenant_id = 'b' and date = '2026-03-01' and model like 'gpt-4o-mini%'"
    )
    assert sum(row["BilledCost"] for row in rows) == billed


def test_usage_without_a_price_is_never_usage_at_zero(tracked: Project) -> None:
    rows = charges(tracked, """"x_UnpricedQuantity" <> 0""")
    assert rows
    for row in rows:
        assert (row["ChargeCategory"], row["ListUnitPrice"], row["SkuPriceId"]) == ("Adjustment", None, None)
        assert row["PricingQuantity"] == row["x_UnpricedQuantity"]
        assert row["x_EstimatedCost"] is None
        assert row["x_CostStatus"] in ("unpriced", "billed")


def test_a_bill_without_usage_is_an_adjustment(tracked: Project) -> None:
    (row,) = charges(tracked, "date = '2026-03-10'")
    assert (row["ChargeCategory"], row["BilledCost"], row["ConsumedQuantity"]) == ("Adjustment", Decimal("1.25"), None)


def test_a_tenant_keeps_the_name_it_had(tracked: Project) -> None:
    tracked.execute("update raw.tenants set valid_to = '2026-03-02' where tenant_id = 'a'")
    renamed = {"tenant_id": "a", "name": "Renamed", "plan": "starter", "status": "active", "valid_from": "2026-03-02"}
    tracked.insert("tenants", [{**renamed, "usage_hard_stop_enabled": False}])
    tracked.build(*ALL)
    names = tracked.execute(
        """select date, min("SubAccountName"), max("SubAccountName") from marts.focus_cost_and_usage"""
        " where tenant_id = 'a' and date in ('2026-03-01', '2026-03-02') group by date order by 1"
    )
    assert [row[1:] for row in names] == [("Tenant a", "Tenant a"), ("Renamed", "Renamed")]


def test_a_closed_month_keeps_the_names_of_its_close(
    corrected: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A directory without dates renames a tenant for all days: what was closed is exported byte for byte as it was."""
    february = DayRange(date(2026, 2, 1), date(2026, 2, 28))
    monkeypatch.setenv("METERING_JWT_SECRET", "a secret of the tests that is long enough for HS256")
    export_focus(february, None, tmp_path / "closed.csv", OLDEST)
    corrected.execute("update raw.tenants set name = 'Renamed' where tenant_id = 'a'")
    export_focus(february, None, tmp_path / "later.csv", OLDEST)
    assert (tmp_path / "later.csv").read_bytes() == (tmp_path / "closed.csv").read_bytes()
    names = corrected.execute(
        """select date < '2026-03-01', "SubAccountName" from marts.focus_cost_and_usage"""
        " where tenant_id = 'a' group by 1, 2 order by 1, 2"
    )
    # Its corrections are of March, which is open.
    assert names == [(False, "Renamed"), (True, "Tenant a")]


def test_all_tenants_charges_come_in_order_and_are_computed_by_the_day(tracked: Project) -> None:
    of_all, days = focus_of_all(OLDEST).encode(), {"first_day": ALL[0], "last_day": ALL[1]}
    in_order = (
        f"select {selected(OLDEST)} from marts.focus_cost_and_usage as focus"
        " where date between %(first_day)s and %(last_day)s order by date, charge_id"
    )
    with as_api(tracked.url, role="root_admin") as connection:
        rows = connection.execute(of_all, days).fetchall()
        assert rows == connection.execute(in_order.encode(), days).fetchall()
        plan = [line for (line,) in connection.execute(b"explain " + of_all, days).fetchall()]
    assert len(rows) > 100
    # The first rows wait for those of their day alone: nothing sorts all of them, and the lines are asked for a day's.
    assert plan[0].startswith("Nested Loop"), plan
    assert any("(date = (days.day)::date)" in line for line in plan), plan


@pytest.fixture(scope="session")
def corrected_template(server: str, tracked_template: str) -> str:
    """February is closed; then a late message, an unknown model's usage that is no more, and a dearer e-mail are booked in March."""

    def build(url: str) -> None:
        os.environ["METERING_DATABASE_URL"] = url
        tracked = Project(url)
        tracked.trust()
        close_month(
            url,
            "2026-02",
            as_of=AS_OF,
            start_date=date(2026, 2, 1),
            lookback_days=3,
            closed_by="the accountant",
        )
        tracked.message("SMlate", "2026-02-28 10:00:00")
        tracked.execute("update raw.sendgrid_subuser_stats set requests = requests + 7 where usage_date = '2026-02-27'")
        tracked.build(*ALL)

    with libraries_of_dbt():
        return built_once(server, "corrected", tracked_template, build)


@pytest.fixture
def corrected(server: str, corrected_template: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Project]:
    """The world of `corrected_template`, a test's own."""
    yield from copy_of(server, corrected_template, monkeypatch)


def test_what_a_closed_month_would_say_otherwise_is_a_correction_in_the_open_one(corrected: Project) -> None:
    rows = charges(corrected, """"ChargeClass" is not null""")
    booked = corrected.execute(
        "select tenant_id, date, channel, cost_usd, billed_cost_usd, unpriced_unit_count from ops.cost_adjustments"
    )
    assert len(rows) == len(booked) >= 2
    assert {
        (
            row["SubAccountId"],
            row["ChargePeriodStart"].astimezone(UTC).date(),
            row["x_Channel"],
            row["x_EstimatedCost"],
            row["x_UnpricedQuantity"],
        )
        for row in rows
    } == {(*row[:4], row[5]) for row in booked}
    for row in rows:
        assert (row["ChargeClass"], row["ChargeCategory"], row["x_Component"]) == (
            "Correction",
            "Adjustment",
            "correction",
        )
        assert row["BillingPeriodStart"].astimezone(UTC).date() == date(2026, 3, 1)
        assert row["BilledCost"] == row["EffectiveCost"]
        assert row["ListCost"] == row["ContractedCost"] == row["x_EstimatedCost"]
        # SendGrid bills nobody by day: there the estimate is what is charged.
        if row["x_Channel"] == "email":
            assert (row["x_CostStatus"], row["BilledCost"]) == ("estimated", row["x_EstimatedCost"])
    # February's own charges stay as they were closed, and the file is the closed figures and the corrections.
    ((charged,),) = corrected.execute('select sum("x_EstimatedCost") from marts.focus_cost_and_usage')
    ((daily,),) = corrected.execute("select sum(estimated_cost_usd) from marts.usage_daily")
    assert charged == daily + sum(row[3] for row in booked)


def test_a_bill_that_comes_after_the_close_is_charged_once(corrected: Project) -> None:
    """What a closed day was charged and its corrections are what it would be charged if it were built now."""
    bill = {
        "usage_date": "2026-02-28",
        "load_id": "test",
        "account_id": "org",
        "project_id": "proj_a",
        "currency": "usd",
    }
    corrected.insert("openai_costs", [{**bill, "line_item": "late", "amount": "5"}])
    corrected.build("2026-02-28", "2026-02-28")  # a build of the closed day alone
    of_february = """date_trunc('month', "ChargePeriodStart" at time zone 'UTC') = '2026-02-01'"""
    ((charged,),) = corrected.execute(f'select sum("BilledCost") from marts.focus_cost_and_usage where {of_february}')
    for table in ("closed_record_changes", "close_items", "closed_relations", "closed_names"):
        corrected.execute(f"delete from ops.{table}")
    corrected.execute("delete from ops.cost_adjustments")
    corrected.execute("delete from ops.closed_months")
    corrected.build_and_test(*ALL)
    ((as_now,),) = corrected.execute(f'select sum("BilledCost") from marts.focus_cost_and_usage where {of_february}')
    assert charged == as_now > 5


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
@pytest.mark.parametrize("spec", SPECS)
def test_each_version_s_file_is_the_marts_money_and_against_none_of_our_rules(
    corrected: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, spec: str, suffix: str
) -> None:
    rows = exported(tmp_path / f"focus.{suffix}", monkeypatch, spec)
    assert [*rows[0]] == [name for name, _ in columns_of(spec)]
    assert broken(rows, spec) == {}
    sums = tuple(sum(Decimal(row[name] or 0) for row in rows) for name in ("BilledCost", "x_EstimatedCost"))
    assert [sums] == corrected.execute(
        'select sum("BilledCost"), sum("x_EstimatedCost") from marts.focus_cost_and_usage'
        f" where date between '{ALL[0]}' and '{ALL[1]}'"
    )


def test_charges_of_a_bill_for_several_say_how_and_to_whom_it_was_allocated_and_sum_to_it(
    tracked: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = exported(tmp_path / "focus.csv", monkeypatch, "1.3")
    allocated = [row for row in rows if row["AllocatedMethodId"] is not None]
    assert {row["AllocatedMethodId"] for row in allocated} == {ALLOCATION_METHOD}
    assert {row["ServiceProviderName"] for row in allocated} <= {"OpenAI", "Anthropic"}
    assert {row["AllocatedResourceId"] for row in allocated} >= {"b"}
    for row in allocated:
        known = row["SubAccountId"] if row["SubAccountId"] != "unattributed" else None
        assert row["AllocatedResourceId"] == known
        assert row["AllocatedResourceName"] == (row["SubAccountName"] if known else None)
    others = [row for row in rows if row["ServiceProviderName"] == "OpenAI" and row not in allocated]
    assert all(row["x_CostStatus"] != "billed" or row["x_Component"] == "none" for row in others)
    # With what was billed without usage, and so for one alone, they are all that the provider has billed.
    charged = [*allocated, *(row for row in others if row["x_Component"] == "none")]
    of_openai = sum(Decimal(row["BilledCost"]) for row in charged if row["ServiceProviderName"] == "OpenAI")
    assert [(of_openai,)] == tracked.execute(
        "select sum(billed_cost_usd) from marts.usage_daily where service = 'openai' and billed_cost_usd is not null"
    )
    assert of_openai > 0


def exported(file: Path, monkeypatch: pytest.MonkeyPatch, spec: str) -> list[Row]:
    monkeypatch.setenv("METERING_JWT_SECRET", "a secret of the tests that is long enough for HS256")
    export_focus(DayRange(date.fromisoformat(ALL[0]), date.fromisoformat(ALL[1])), None, file, spec)
    return list(read_charges(file))


# Of the demo's files `make focus`, which .ci/run calls, has it read all of them.
@LONG
@pytest.mark.skipif(find_python() is None, reason="the official validator needs Python 3.12, and there is none here")
@pytest.mark.parametrize(("suffix", "spec"), [("csv", "1.2"), ("parquet", "1.2"), ("parquet", "1.3")])
def test_the_official_validator_has_nothing_against_it(
    corrected: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str, spec: str
) -> None:
    file = tmp_path / f"focus.{suffix}"
    exported(file, monkeypatch, spec)
    verdict = validate(file)
    assert verdict.complaints(list(excused_rules())) == []
    assert verdict.passed > 250
