"""Proposals from a CSV file: what each kind says, and that a wrong row is named."""

from __future__ import annotations

from datetime import date
from decimal import Decimal

import pytest

from builds.dbt_manifest import PROJECT
from costs.rules.price_book import parse_book
from costs.rules.proposals import ProposalError, Proposals, parse_proposals, proposed_seeds, without_changes
from costs.seeds import seed_texts

HEADER = (
    "kind,tenant_id,plan,channel,metric,direction,monthly_cap,warning_threshold_pct,"
    "service,operation,model,component,unit_price_usd,per,effective_from,effective_to,monthly_base_price_usd"
)
FIRST, END = date(2026, 10, 1), date(2026, 11, 1)


def parse(*rows: str) -> Proposals:
    return parse_proposals(
        "\n".join([HEADER, *rows]), "p.csv", tenants={"acme", "bolt"}, plans={"starter", "pro"}, first=FIRST, end=END
    )


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("plans,acme,pro" + "," * 14, "unknown kind plans (one of plan, cap, price, base)"),
        ("plan,nobody,pro" + "," * 14, "unknown tenant nobody"),
        ("plan,acme,gold" + "," * 14, "unknown plan gold (one of pro, starter)"),
        ("plan,acme,pro" + "," * 14 + "\nplan,acme,starter" + "," * 14, "a second plan for acme"),
        ("cap,acme,pro,sms,units" + "," * 12, "give tenant_id or plan"),
        ("cap,,pro,fax,units" + "," * 12, "unknown channel fax"),
        ("cap,,pro,sms,bytes" + "," * 12, "unknown metric bytes"),
        ("cap,acme,,sms,units,inbound,9" + "," * 10, "leave direction empty"),
        ("cap,,pro,sms,units,,-1" + "," * 10, "monthly_cap is negative: -1"),
        ("price" + "," * 8 + "twilio_sms,outbound,,unit,x,1,,,", "unit_price_usd is not a number: x"),
        ("price" + "," * 8 + "openai,chat_completion,gpt-4o,input,1,,,,", "per is empty: say how many tokens"),
        ("price" + "," * 8 + "twilio_fax,outbound,,unit,1,1,,,", "unknown service twilio_fax"),
        ("base,,,,,,,,,,,,,,,,9", "plan is empty"),
        ("plan,acme", "2 cells where the header has 17"),
    ],
)
def test_a_wrong_row_is_named(row: str, message: str) -> None:
    with pytest.raises(ProposalError) as raised:
        parse("plan,bolt,pro" + "," * 14, row)
    assert str(raised.value).startswith(f"p.csv row {3 + row.count(chr(10))}: ")
    assert message in str(raised.value)


def test_columns_that_are_not_needed_may_be_absent() -> None:
    found = parse_proposals("kind,plan\nplan,pro\n", "p.csv", tenants={"acme"}, plans={"pro"}, first=FIRST, end=END)
    assert found.plan_of("anybody") == "pro"
    with pytest.raises(ProposalError, match=r"p.csv row 1: column kind is missing"):
        parse_proposals("plan\npro\n", "p.csv", tenants={}, plans={"pro"}, first=FIRST, end=END)


def test_a_plan_that_is_the_tenant_s_already_is_no_proposal() -> None:
    found = without_changes(
        parse("plan,,pro" + "," * 14, "plan,bolt,starter" + "," * 14),
        {"acme": "starter", "bolt": "starter", "c": "pro"},
    )
    assert found.plans == {"acme": "pro"}


def test_nothing_proposed_changes_no_seed() -> None:
    assert proposed_seeds(parse("plan,acme,pro" + "," * 14), seed_texts()) == {}


def test_a_price_without_dates_holds_for_the_month() -> None:
    seeds = proposed_seeds(parse("price" + "," * 8 + "sendgrid,send,,unit,2,1000,,,"), seed_texts())
    periods = sorted(
        (price.begins, price.ends, price.unit_price_usd / price.per)
        for _, price in parse_book(seeds["price_book.csv"])
        if price.service == "sendgrid"
    )
    assert set(seeds) == {"price_book.csv"}
    assert periods == [
        (date(2024, 1, 1), FIRST, Decimal("0.0009")),
        (FIRST, END, Decimal("0.002")),
        (END, date.max, Decimal("0.0009")),
    ]


def test_plans_and_their_caps_are_changed_or_made() -> None:
    seeds = proposed_seeds(
        parse(
            "base,,gold,,,,,,,,,,,,,,79.5",
            "base,,pro,,,,,,,,,,,,,,",
            "cap,,gold,sms,units,outbound,10" + "," * 10,
            "cap,,pro,sms,units,,,50" + "," * 9,
            "cap,acme,,sms,units,,1" + "," * 10,
        ),
        seed_texts(),
    )
    assert "gold,Gold,79.5\n" in seeds["plans.csv"]
    assert "pro,Pro,\n" in seeds["plans.csv"]
    assert "starter,Starter,49\n" in seeds["plans.csv"]
    assert "gold,sms,units,outbound,10,\n" in seeds["plan_limits.csv"]
    assert "pro,sms,units,any,,50\n" in seeds["plan_limits.csv"]
    assert "starter,sms,units,any,1000,80\n" in seeds["plan_limits.csv"]


def test_the_example_of_the_documentation_is_one() -> None:
    example = (PROJECT.parent / "docs" / "prices.md").read_text().split("```csv\n")[1].split("```")[0]
    found = parse_proposals(example, "p.csv", tenants={"acme"}, plans={"starter", "pro"}, first=FIRST, end=END)
    assert found.plans == {"acme": "pro"}
    assert [cap.monthly_cap for cap in found.caps] == [Decimal(500)]
    assert [price.unit_price_usd for price in found.prices] == [Decimal("0.0079")]
    assert found.base_prices == {"pro": Decimal(129)}
