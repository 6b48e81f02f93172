"""Why a figure changed, as the ledgers say it: of complete days of an open month, and of a closed one."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest

from tests.dbt.conftest import ALL, Project
from tests.dbt.price_book import PriceBook
from tests.dbt.test_closing import build, close

DAY = "2026-03-01"
BILL = "update raw.openai_costs set amount = amount + 5 where usage_date = '{}' and project_id = 'proj_a' and line_item like 'gpt%'"
ELITE = "twilio_sms,outbound,,elite,unit,0.005,1,2024-01-01,,elite\n"


@pytest.fixture
def prices(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> PriceBook:
    return PriceBook(tmp_path, monkeypatch)


def restated(project: Project) -> dict[tuple[str, str], str]:
    return {
        (tenant, channel): reason
        for tenant, channel, reason in project.execute(
            "select tenant_id, channel, reason from ops.cost_restatements order by id"
        )
    }


def adjusted(project: Project) -> list[tuple[str, str, str]]:
    return project.execute("select tenant_id, channel, reason from ops.cost_adjustments order by id")


def add(prices: PriceBook, line: str) -> None:
    with prices.path.open("a") as file:
        file.write(line)


def test_a_bill_that_changes_alone_is_restated_as_one(built: Project) -> None:
    built.execute(BILL.format(DAY))
    build(built, DAY, DAY)
    rows = built.execute(
        "select tenant_id, channel, difference_usd, new_billed_cost_usd - old_billed_cost_usd, reason from ops.cost_restatements"
    )
    assert rows == [("a", "ai", 0, Decimal(5), "bill")]
    # A bill that is not known any more, and one that has come.
    built.execute(f"delete from raw.openai_costs where usage_date = '{DAY}' and project_id = 'proj_b'")
    build(built, DAY, DAY)
    assert built.execute(
        "select old_billed_cost_usd is null, new_billed_cost_usd is null, reason from ops.cost_restatements where tenant_id = 'b'"
    ) == [(False, True, "bill")]


def test_a_bill_of_a_closed_month_is_booked_as_one(built: Project) -> None:
    close(built)
    built.execute(BILL.format("2026-02-28"))
    build(built, *ALL)
    assert adjusted(built) == [("a", "ai", "bill")]


def test_days_of_unknown_versions_say_so_unless_their_usage_differs(built: Project) -> None:
    built.execute("update ops.built_days set code_version = null, price_version = null")
    built.execute(
        f"update marts.usage_daily set estimated_cost_usd = estimated_cost_usd + 1 where date = '{DAY}' and channel = 'sms' and tenant_id = 'a'"
    )
    built.message("SMlate", f"{DAY} 10:00:00", account_id="ACb")
    build(built, DAY, DAY)
    assert restated(built) == {("a", "sms"): "unknown", ("b", "sms"): "usage"}


def test_a_plan_is_named_where_it_prices_the_line_otherwise(built: Project, prices: PriceBook) -> None:
    add(prices, ELITE)
    build(built, *ALL)
    assert restated(built) == {}
    # The price of inbound messages changes as well: there are none, so it is not why.
    prices.replace("twilio_sms,inbound,,,unit,0.0083,", "twilio_sms,inbound,,,unit,0.0100,")
    built.execute("update raw.tenants set plan = 'elite' where tenant_id = 'a'")
    build(built, DAY, DAY)
    assert restated(built) == {("a", "sms"): "plan"}


def test_a_price_of_another_plan_is_no_reason(built: Project, prices: PriceBook) -> None:
    add(prices, ELITE)
    built.execute("update raw.tenants set plan = 'elite' where tenant_id = 'a'")
    build(built, *ALL)
    assert restated(built) == {("a", "sms"): "plan"}
    built.execute("delete from ops.cost_restatements")
    prices.replace(",elite,unit,0.005,", ",elite,unit,0.006,")
    built.message("SMlate", f"{DAY} 10:00:00", account_id="ACb")
    build(built, DAY, DAY)
    assert restated(built) == {("a", "sms"): "price", ("b", "sms"): "usage"}


def test_what_nothing_explains_is_not_called_a_plan(built: Project) -> None:
    built.execute(
        f"update marts.usage_daily set estimated_cost_usd = estimated_cost_usd + 1 where date = '{DAY}' and channel = 'sms' and tenant_id = 'a'"
    )
    build(built, DAY, DAY)
    assert restated(built) == {("a", "sms"): "unknown"}


def test_a_plan_of_a_closed_month_is_named_also_where_usage_was_booked_before(
    built: Project, prices: PriceBook
) -> None:
    add(prices, ELITE)
    build(built, *ALL)
    close(built)
    built.message("SMlate", "2026-02-28 10:00:00", num_segments=2)
    build(built, *ALL)
    assert adjusted(built) == [("a", "sms", "usage")]
    prices.replace("twilio_sms,inbound,,,unit,0.0083,", "twilio_sms,inbound,,,unit,0.0100,")
    built.execute("update raw.tenants set plan = 'elite' where tenant_id = 'a'")
    build(built, *ALL)
    assert adjusted(built)[1:] == [("a", "sms", "plan"), ("a", "sms", "plan")]
