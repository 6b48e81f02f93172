"""`/admin/alerts` shows what `/api/admin/usage/alerts` returns, the open ones first of all."""

from __future__ import annotations

import re

import pytest
from fastapi.testclient import TestClient

from tests.api.admin.test_alerts import ACKNOWLEDGE, ALERTS
from tests.api.conftest import AppStarter, Headers, execute
from tests.dashboard.owner.conftest import as_owner, check_figures, json_of, page_of

PATH = "/admin/alerts"
ROUTE = "/api/admin/usage/alerts"


@pytest.fixture
def alerted(own_database: str) -> str:
    execute(own_database, ALERTS, ACKNOWLEDGE)
    return own_database


def test_every_figure_is_the_route_s_whatever_the_filters(alerted: str, start_app: AppStarter, root: Headers) -> None:
    with as_owner(start_app, alerted) as browser:
        for query, same in (
            ({}, {"state": "open"}),
            ({"state": "all"}, {}),
            ({"state": "resolved"}, {"state": "resolved"}),
            ({"severity": "critical", "type": "", "tenantId": " acme "}, {"state": "open", "severity": "critical"}),
            ({"state": "all", "acknowledged": "true"}, {"acknowledged": "true"}),
            ({"type": "unpriced"}, {"state": "open", "type": "unpriced"}),
        ):
            body = json_of(browser, root, ROUTE, **same)
            page = page_of(browser, PATH, **query)
            seen = check_figures(page, body)
            assert {field for field in seen if field.startswith("items.")} == {
                f"items.{row}.message" for row in range(len(body["items"]))
            }
            assert seen >= {"totals.open", "totals.unacknowledged", "totals.critical"}


def test_it_can_be_acknowledged_where_operations_are_on(alerted: str, start_app: AppStarter) -> None:
    with as_owner(start_app, alerted) as browser:
        assert "/acknowledge" not in browser.get(PATH).text
    with as_owner(start_app, alerted, METERING_API_OPERATIONS="true") as browser:
        html = browser.get(PATH, params={"state": "all", "severity": "critical"}).text
    [form] = re.findall(r'<form method="post" action="/admin/alerts/\d+/acknowledge">.*?</form>', html, re.S)
    assert 'name="csrf_token"' in form
    assert 'name="next" value="/admin/alerts?state=all&amp;severity=critical"' in form


def test_it_is_sorted_searched_and_sent_as_a_file(alerted: str, start_app: AppStarter, root: Headers) -> None:
    with as_owner(start_app, alerted) as browser:
        page = page_of(browser, PATH, search="exceeded", sort="severity")
        check_figures(page, json_of(browser, root, ROUTE, state="open", search="exceeded", sort="severity"))
        assert f"{PATH}?search=exceeded&sort=severity&order=asc" in page.links
        (file,) = [link for link in page.links if "/export" in link]
        route = f"{ROUTE}/export?state=open&search=exceeded&sort=severity"
        assert browser.get(file).text == browser.get(route, headers=root).text


def test_none_open_is_good_news(as_root: TestClient) -> None:
    assert "No open alerts." in page_of(as_root, PATH).text


def test_it_is_paged(crowded_app: TestClient) -> None:
    first = page_of(crowded_app, PATH)
    assert "1–50 alerts" in first.text
    [following] = [link for link in first.links if "cursor=" in link]
    second = page_of(crowded_app, following)
    assert "51–90 alerts" in second.text
    assert PATH in second.links
