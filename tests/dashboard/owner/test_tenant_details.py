"""`/admin/usage/{tenantId}` shows what the JSON routes of the same address, and the forecast's, return."""

from __future__ import annotations

from decimal import Decimal

import pytest
from fastapi.testclient import TestClient

from api.dashboard import formats
from tests.api.admin.test_alerts import ACKNOWLEDGE, ALERTS
from tests.api.conftest import AppStarter, Headers, execute
from tests.dashboard.owner.conftest import as_owner, check_figures, json_of, page_of

PATH = "/admin/usage"
ROUTE = "/api/admin/usage"


@pytest.mark.parametrize("tenant_id", ["acme", "bolt", "cobalt", "dune", "elm", "unattributed"])
@pytest.mark.parametrize("parameters", [{}, {"startDate": "2026-10-01", "endDate": "2026-10-31"}])
def test_every_figure_is_the_routes(
    as_root: TestClient, root: Headers, tenant_id: str, parameters: dict[str, str]
) -> None:
    body = json_of(as_root, root, f"{ROUTE}/{tenant_id}", **parameters)
    forecast = json_of(as_root, root, "/api/billing/usage/forecast", tenantId=tenant_id)
    page = page_of(as_root, f"{PATH}/{tenant_id}", **parameters)
    seen = check_figures(page, body, besides=("forecast.", "daily."))
    if any(field.startswith("forecast.") for field in page.fields):
        check_figures(page, forecast, only="forecast.")
    headline = {"forecast.cost.expectedCostCents", "currentMonth.projectedCostCents"} & set(page.fields)
    is_forecast = forecast["cost"]["expectedCostCents"] is not None
    assert headline == {"forecast.cost.expectedCostCents" if is_forecast else "currentMonth.projectedCostCents"}
    now = ("costCents", "dailyAverageCents", "daysRemaining", "marginCents", "status")
    assert seen >= {f"currentMonth.{name}" for name in now} | {"blockedActions.total", "totalCostCents"}
    assert seen >= {f"byService.{row}.costCents" for row in range(len(body["byService"]))}
    assert seen >= {f"byDay.{row}.costCents" for row in range(len(body["byDay"]))}
    assert seen >= {f"topOperations.{row}.costCents" for row in range(len(body["topOperations"]))}
    assert seen >= {f"reconciliation.{state}" for state in body["reconciliation"]}


def test_the_charts_figures_are_the_daily_routes_and_add_up_to_each_day(as_root: TestClient, root: Headers) -> None:
    days = {"startDate": "2026-10-10", "endDate": "2026-11-20"}
    page = page_of(as_root, f"{PATH}/acme", **days)
    asked = {"tenantId": "acme", "from": days["startDate"], "to": days["endDate"]}
    body = json_of(as_root, root, "/api/admin/usage/daily", **asked)
    by_day = {row["date"]: row["costUsd"] for row in json_of(as_root, root, f"{ROUTE}/acme", **days)["byDay"]}
    sums = dict.fromkeys(by_day, Decimal(0))
    used = {row["channel"] for row in body["rows"] if row["requestCount"]}
    assert used == {"sms", "mms", "voice", "ai"}
    for row in body["rows"]:
        field = f"daily.{row['date']}.{row['channel']}.estimatedCostCents"
        is_known = row["requestCount"] or not any(
            gap["channel"] == row["channel"] and gap["from"] <= row["date"] <= gap["to"] for gap in body["gaps"]
        )
        if row["channel"] in used and is_known:
            assert page.fields[field] == (formats.cents(row["estimatedCostCents"]), row["estimatedCostUsd"]), field
            sums[row["date"]] += Decimal(row["estimatedCostUsd"] or 0)
    assert sums == {day: Decimal(cost or 0) for day, cost in by_day.items()}


def test_what_it_says_in_words(as_root: TestClient) -> None:
    page = page_of(as_root, f"{PATH}/acme")
    for words in ("Usage & Cost Details", "Acme Homes", "10 days remaining", "Hard stop on", "lead_scoring"):
        assert words in page.text


def test_caps_have_their_dates(as_root: TestClient) -> None:
    page = page_of(as_root, f"{PATH}/acme")
    dates = {value for field, (_, value) in page.fields.items() if field.endswith("likelyDate")}
    assert dates == {"2026-11-29", "2026-11-21"}
    assert "earliest Nov 26" in page.text
    assert "Reached" in page_of(as_root, f"{PATH}/bolt").text


def test_each_day_that_cost_something_can_be_explained(as_root: TestClient) -> None:
    links = [link for link in page_of(as_root, f"{PATH}/acme").links if "/explain" in link]
    assert links == [f"/admin/usage/acme/explain?date=2026-11-{day}" for day in ("20", "19", "01")]
    assert all(as_root.get(link).status_code == 200 for link in links)


def test_one_day_is_a_range_too(as_root: TestClient) -> None:
    page = page_of(as_root, f"{PATH}/acme", startDate="2026-11-19", endDate="2026-11-19")
    assert page.fields["totalCostCents"] == ("$1.98", "1.975")
    assert "/admin/reconciliation?tenantId=acme&period=2026-11" in page.links


class TestAlerts:
    def browse(self, url: str, start_app: AppStarter, tenant_id: str, query: str = "", **variables: str) -> str:
        execute(url, ALERTS, ACKNOWLEDGE)
        with as_owner(start_app, url, **variables) as browser:
            return browser.get(f"{PATH}/{tenant_id}{query}").text

    def test_an_open_one_without_operations_has_no_form(self, own_database: str, start_app: AppStarter) -> None:
        html = self.browse(own_database, start_app, "acme")
        assert "Monthly usage has exceeded $100.00" in html
        assert "/acknowledge" not in html
        assert "Not acknowledged" in html

    def test_with_operations_it_can_be_acknowledged(self, own_database: str, start_app: AppStarter) -> None:
        html = self.browse(own_database, start_app, "acme", METERING_API_OPERATIONS="true")
        assert html.count('<form method="post" action="/admin/alerts/') == 1
        assert '<input type="hidden" name="next" value="/admin/usage/acme">' in html
        assert 'name="csrf_token"' in html.partition("/acknowledge")[2].partition("</form>")[0]

    def test_one_comes_back_to_the_days_that_were_shown(self, own_database: str, start_app: AppStarter) -> None:
        html = self.browse(own_database, start_app, "acme", "?endDate=2026-10-31", METERING_API_OPERATIONS="true")
        assert 'name="next" value="/admin/usage/acme?startDate=2026-10-01&amp;endDate=2026-10-31"' in html

    def test_who_has_seen_it_is_told(self, own_database: str, start_app: AppStarter) -> None:
        html = self.browse(own_database, start_app, "bolt", METERING_API_OPERATIONS="true")
        assert "Acknowledged by ada" in html
        assert "/acknowledge" not in html


def test_blocked_actions_by_channel(own_database: str, start_app: AppStarter, root: Headers) -> None:
    execute(
        own_database,
        "insert into ops.access_decisions (tenant_id, channel, units, allowed, decided_at)"
        " select 'acme', case when n > 2 then 'sms' else 'ai' end, 1, false, '2026-11-20 10:00+00' from generate_series(1, 5) n",
    )
    with as_owner(start_app, own_database) as browser:
        page = page_of(browser, f"{PATH}/acme")
        check_figures(page, json_of(browser, root, f"{ROUTE}/acme"), besides=("forecast.", "daily."))
    assert page.fields["blockedActions.total"][0] == "5"
    assert "SMS 3 · AI 2" in page.text
