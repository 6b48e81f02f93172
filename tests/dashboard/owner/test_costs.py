"""`/admin/usage` shows what `/api/admin/usage` returns."""

from __future__ import annotations

import re
from decimal import Decimal

import pytest
from fastapi.testclient import TestClient

from api.admin.service import CLIENT_SORT_KEYS
from tests.api.conftest import AppStarter, Headers, execute
from tests.dashboard.owner.conftest import as_owner, check_figures, json_of, page_of

PATH = "/admin/usage"
ROUTE = "/api/admin/usage"
COLUMNS = (
    "totalCostCents",
    "costChangePercent",
    "openaiCostCents",
    "twilioSmsCostCents",
    "twilioVoiceCostCents",
    "twilioPhoneCostCents",
    "sendgridCostCents",
    "stripeCostCents",
    "googlePlacesCostCents",
    "storageCostCents",
    "otherCostCents",
    "totalMessages",
    "totalAiCalls",
    "marginCents",
)


@pytest.mark.parametrize("parameters", [{}, {"month": "2026-10"}, {"sort": "marginCents", "order": "asc"}])
def test_every_figure_is_the_route_s(as_root: TestClient, root: Headers, parameters: dict[str, str]) -> None:
    body = json_of(as_root, root, ROUTE, **parameters)
    page = page_of(as_root, PATH, **parameters)
    seen = check_figures(page, body, besides="forecast.")
    # The month's end is told once: as it is forecast, or by the pace of the days where there is no forecast.
    for row, client in enumerate(body["clients"]):
        cost = json_of(as_root, root, "/api/billing/usage/forecast", tenantId=client["tenantId"])["cost"]
        shown = page.fields.get(f"forecast.{row}.cost.expectedCostCents")
        is_forecast = "month" not in parameters and cost["expectedCostUsd"] is not None
        assert (shown and shown[1]) == (cost["expectedCostUsd"] if is_forecast else None)
        paced = f"clients.{row}.projectedCostCents" in page.fields
        assert paced == ("month" not in parameters and not is_forecast)
    assert seen >= {f"clients.{row}.{column}" for row in range(len(body["clients"])) for column in COLUMNS}
    assert seen >= {f"totals.{name}" for name in ("totalCostCents", "activeClients", "averageCostCents")}


def test_the_services_columns_are_the_whole_cost(as_root: TestClient, root: Headers) -> None:
    body = json_of(as_root, root, ROUTE)
    services = [name for name in COLUMNS if name.endswith("CostCents") and name != "totalCostCents"]
    for row in (*body["clients"], body["totals"]):
        parts = [row[f"{name.removesuffix('Cents')}Usd"] for name in services]
        assert sum(Decimal(part) for part in parts if part is not None) == Decimal(row["totalCostUsd"] or 0)


def test_what_has_no_price_is_told_by_kind_with_a_way_to_it(as_root: TestClient) -> None:
    page = page_of(as_root, PATH)
    assert "In no cost here, for want of a price: 87 tokens." in page.text
    assert "/admin/alerts?type=unpriced" in page.links


def test_it_is_sent_as_a_file(as_root: TestClient, root: Headers) -> None:
    (file,) = [link for link in page_of(as_root, PATH, month="2026-10", search="acme").links if "/export" in link]
    route = file.replace("/admin/costs/export", "/api/admin/billing/usage/costs/export")
    assert as_root.get(file).text == as_root.get(route, headers=root).text


def test_the_cards_say_of_how_many(as_root: TestClient) -> None:
    text = page_of(as_root, PATH).text
    for words in (
        "API Usage & Costs",
        "3 active tenants",
        "12 calls",
        "500 messages",
        "Average per tenant",
        "per month",
    ):
        assert words in text


def test_a_month_is_one_of_six(as_root: TestClient) -> None:
    html = as_root.get(PATH, params={"month": "2026-08"}).text
    assert len(re.findall(r'<option value="2026-\d\d"', html)) == 6
    assert '<option value="2026-08" selected>August 2026</option>' in html


@pytest.mark.parametrize("key", sorted({*COLUMNS, "tenantName", "plan"}))
def test_every_column_sorts(as_root: TestClient, key: str) -> None:
    assert key in CLIENT_SORT_KEYS
    [link] = [link for link in page_of(as_root, PATH, month="2026-10").links if f"sort={key}&" in link]
    assert "month=2026-10" in link
    assert as_root.get(link).status_code == 200


@pytest.mark.parametrize(
    ("percent", "kind"), [("20", "up"), ("20.1", "bad"), ("121.5", "bad"), ("-3", "down"), ("0", "same")]
)
def test_a_change_is_red_above_20_percent(own_database: str, start_app: AppStarter, percent: str, kind: str) -> None:
    execute(own_database, f"update marts.tenant_monthly set cost_change_percent = {percent} where tenant_id = 'acme'")
    with as_owner(start_app, own_database) as browser:
        html = browser.get(PATH, params={"search": "acme"}).text
    assert re.findall(r'class="change change--(\w+)" data-field="clients.0', html) == [kind]


def test_a_loss_is_marked(own_database: str, start_app: AppStarter) -> None:
    execute(own_database, "update marts.tenant_monthly set margin_cents = -1234.5 where tenant_id = 'acme'")
    with as_owner(start_app, own_database) as browser:
        html = browser.get(PATH, params={"search": "acme"}).text
    assert re.search(r'class="num below" data-field="clients.0.marginCents"[^>]*>-\$12.34<', html)


def test_a_search_that_finds_nobody(as_root: TestClient) -> None:
    assert "No tenant matches this search." in page_of(as_root, PATH, search="zzz").text
