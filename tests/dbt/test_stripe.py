"""Payments, from the raw transactions to the marts: fees to the digit, what cannot be converted, what was tracked."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta
from decimal import Decimal
from typing import Any

import psycopg
import pytest
from fastapi.testclient import TestClient

from api.auth.tokens import mint
from api.main import create_app
from api.settings import Settings
from costs.alerts.facts import unpriced
from costs.rules.explain import problems
from tests.dbt.conftest import AS_OF, Project, built_world, copy_of

SECRET = "a secret of the tests that is long enough for HS256"

DAY = "2026-03-02"


def transaction(key: str, **columns: Any) -> dict[str, Any]:
    day = columns.get("usage_date", DAY)
    return {
        "account_id": "platform",
        "usage_date": DAY,
        "id": key,
        "type": "charge",
        "status": "available",
        "currency": "usd",
        "amount_minor": 10_000,
        "fee_minor": 320,
        "net_minor": 9_680,
        "application_fee_minor": 0,
        "metadata_tenant_id": "a",
        "created": f"{day} 10:00:00+00",
        "load_id": "test",
        **columns,
    }


def pay(project: Project) -> None:
    """Two charges of a, one of them tracked; a refund of b's; a charge that cannot be converted; a fee of Stripe's own of nobody."""
    project.insert(
        "stripe_balance_transactions",
        [
            transaction("txn_1"),
            transaction("txn_2", amount_minor=1_234, fee_minor=66, net_minor=1_168),
            transaction("txn_3", currency="gbp", source_currency="gbp", fee_minor=40),
            transaction("txn_4", metadata_tenant_id="b", charge_id="ch_b", usage_date="2026-02-27"),
            transaction(
                "txn_5", type="refund", metadata_tenant_id=None, charge_id="ch_b", amount_minor=-10_000, fee_minor=0
            ),
            transaction(
                "txn_7", type="adjustment", currency="gbp", source_currency="gbp", amount_minor=-400, fee_minor=1_500
            ),
            # A refund in pounds is set aside as well.
            transaction("txn_11", type="refund", currency="gbp", source_currency="gbp", amount_minor=-400, fee_minor=0),
            transaction("txn_8", type="payout", currency="gbp", amount_minor=-9_000, fee_minor=0, net_minor=-9_000),
            # The key's own account by its name: the same list again.
            transaction("txn_1", account_id="acct_self", connected_account_id="acct_self"),
            transaction(
                "txn_6", type="stripe_fee", metadata_tenant_id=None, amount_minor=-250, fee_minor=0, net_minor=-250
            ),
        ],
    )
    payment = {
        "service": "stripe",
        "operation": "charge",
        "channel": "payments",
        "direction": "none",
        "source": "stripe",
    }
    project.event("tracked", f"{DAY} 10:00:00", **payment, external_id="txn_2", feature="invoices")
    project.event(
        "early",
        "2026-03-18 10:00:00",
        **payment,
        external_id="txn_9",
        metadata='{"amount_minor": 5000, "currency": "USD"}',
    )
    project.event(
        "early too",
        "2026-03-18 10:00:00",
        **payment,
        external_id="txn_10",
        metadata='{"amount_minor": 5000, "currency": "GBP"}',
    )


@pytest.fixture(scope="session")
def paid_template(server: str, standing_template: str) -> str:
    """Name of the database that `paid` copies."""
    return built_world(server, "paid", standing_template, pay, days=("2026-02-27", "2026-03-20"))


@pytest.fixture
def paid(server: str, paid_template: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Project]:
    """The world of `pay`, built."""
    yield from copy_of(server, paid_template, monkeypatch)


def rows(project: Project, statement: str) -> list[tuple[Any, ...]]:
    return project.execute(statement)


def test_fees_are_billed_and_estimated_by_percentage_and_fixed_part(paid: Project) -> None:
    found = rows(
        paid,
        "select tenant_id, operation, feature, evidence, unit_count, estimated_cost_usd, billed_cost_usd, unpriced_unit_count"
        f" from marts.usage_daily where date = '{DAY}' order by 1, 2, 3",
    )
    assert found == [
        # A dispute's fee in pounds is set aside like the rest; a payout takes nothing, in whatever currency.
        ("a", "adjustment", "(untracked)", "provider", 1, None, None, 1),
        # 100 × 0.029 + 0.3; what is in pounds has no price and no bill, so the cell's bill is not known either.
        ("a", "charge", "(untracked)", "provider", 2, Decimal("3.2"), None, 1),
        ("a", "charge", "invoices", "provider", 1, Decimal("0.65786"), Decimal("0.66"), 0),
        ("a", "payout", "(untracked)", "provider", 1, Decimal(0), Decimal(0), 0),
        ("a", "refund", "(untracked)", "provider", 1, None, None, 1),
        ("b", "refund", "(untracked)", "provider", 1, Decimal(0), Decimal(0), 0),
        ("unattributed", "stripe_fee", "(untracked)", "provider", 1, Decimal("2.5"), Decimal("2.5"), 0),
    ]
    [(unit,)] = rows(paid, "select distinct unit from marts.usage_daily where channel = 'payments'")
    assert unit == "transactions"


def test_what_is_set_aside_for_its_currency_is_told_as_that(paid: Project) -> None:
    with psycopg.connect(paid.url) as connection:
        found = {(hole.tenant_id, hole.operation, hole.model): hole.quantity for hole in unpriced(connection)}
    assert found == {
        ("a", "adjustment", "in GBP"): 1,
        # One by its transaction, one by its event alone.
        ("a", "charge", "in GBP"): 2,
        ("a", "refund", "in GBP"): 1,
    }


def test_an_event_counts_until_its_transaction_comes(paid: Project) -> None:
    assert rows(
        paid,
        "select evidence, unit_count, estimated_cost_usd, unpriced_unit_count from marts.usage_daily where date = '2026-03-18'",
    ) == [("tracked", 2, Decimal("1.75"), 1)]
    [(final,)] = rows(
        paid, "select is_final from marts.usage_summary where date = '2026-03-18' and channel = 'payments'"
    )
    assert final is False
    paid.insert(
        "stripe_balance_transactions", [transaction(key, usage_date="2026-03-18") for key in ("txn_9", "txn_10")]
    )
    paid.build("2026-03-18", "2026-03-18")
    assert rows(
        paid,
        "select evidence, unit_count, estimated_cost_usd, billed_cost_usd from marts.usage_daily where date = '2026-03-18'",
    ) == [("provider", 2, Decimal("6.4"), Decimal("6.4"))]


def test_each_line_is_explained_by_its_transactions(paid: Project) -> None:
    settings = {"METERING_DATABASE_URL": paid.url, "METERING_JWT_SECRET": SECRET, "METERING_AS_OF": AS_OF.isoformat()}
    with TestClient(create_app(Settings.model_validate(settings)), raise_server_exceptions=False) as client:
        client.headers["Authorization"] = f"Bearer {mint('root_admin', None, timedelta(hours=1), SECRET)}"
        answer = client.get("/api/admin/usage/a/explain", params={"date": DAY})
    lines = json.loads(answer.text, parse_float=Decimal)["lines"]
    assert [problem for line in lines for problem in problems(line, DAY)] == []
    lines.sort(key=lambda line: line["records"]["items"][0]["id"])
    found = [
        (
            line["amountUsd"],
            line["formula"],
            line["unpricedReason"],
            [record["id"] for record in line["records"]["items"]],
        )
        for line in lines
    ]
    assert found == [
        ("100", "1 × 0.3 ÷ 1 + 100 × 0.029 ÷ 1", None, ["txn_1"]),
        (None, None, "The amount is in GBP, and Stripe gave no rate that leads to USD.", ["txn_11"]),
        ("12.34", "1 × 0.3 ÷ 1 + 12.34 × 0.029 ÷ 1", None, ["txn_2"]),
        (None, None, "The amount is in GBP, and Stripe gave no rate that leads to USD.", ["txn_3"]),
        (None, None, "The amount is in GBP, and Stripe gave no rate that leads to USD.", ["txn_7"]),
        (None, "1 × 0 ÷ 1", None, ["txn_8"]),
    ]
    assert {record["table"] for line in lines for record in line["records"]["items"]} == {
        "raw.stripe_balance_transactions"
    }


def test_focus_has_a_charge_for_each_component(paid: Project) -> None:
    found = rows(
        paid,
        'select "x_Component", "ConsumedQuantity", "ConsumedUnit", "PricingQuantity", "ListUnitPrice", "ListCost", "BilledCost", "SkuMeter"'
        f" from marts.focus_cost_and_usage where date = '{DAY}' and tenant_id = 'a' and \"Tags\" like '%invoices%' order by 1",
    )
    assert [row[:6] + row[7:] for row in found] == [
        ("fixed", 1, "Transactions", 1, Decimal("0.3"), Decimal("0.3"), "Transactions"),
        (
            "percentage",
            Decimal("12.34"),
            "US Dollars",
            Decimal("12.34"),
            Decimal("0.029"),
            Decimal("0.35786"),
            "Processed Amount",
        ),
    ]
    assert sum(row[6] for row in found) == Decimal("0.66")


def test_the_cost_is_the_tenants_stripe_cost(paid: Project) -> None:
    [(cost, total, unpriced)] = rows(
        paid,
        "select stripe_cost_cents, total_cost_cents, unpriced_unit_count from marts.tenant_monthly"
        " where tenant_id = 'a' and month = '2026-03'",
    )
    assert cost == total == Decimal("320") + Decimal("65.786") + Decimal("175")
    assert unpriced == 4
