"""`/admin/system-usage` shows what `/api/admin/billing/usage/system-summary` returns."""

from __future__ import annotations

import csv
import io
import re

import pytest
from fastapi.testclient import TestClient

from api.admin.service import SORT_KEYS
from tests.api.conftest import AppStarter, Headers, execute
from tests.dashboard.conftest import sign_in
from tests.dashboard.owner.conftest import as_owner, check_figures, json_of, page_of

PATH = "/admin/system-usage"
ROUTE = "/api/admin/billing/usage/system-summary"
DAILY = "/api/admin/billing/usage/system-daily"
COLUMNS = (
    "status",
    "estimatedCostCents",
    "costChangePercent",
    "smsUsed",
    "voiceMinutesUsed",
    "emailsSent",
    "aiTokensUsed",
    "aiPercentOfSpend",
    "twilioPercentOfSpend",
)
PAGE_LIMIT_BYTES = 300_000


@pytest.mark.parametrize(
    "parameters",
    [{}, {"period": "2026-10"}, {"sort": "smsUsed", "order": "asc"}, {"status": "over_cap,warning"}, {"search": "elm"}],
)
def test_every_figure_is_the_route_s(as_root: TestClient, root: Headers, parameters: dict[str, str]) -> None:
    body = json_of(as_root, root, ROUTE, **parameters)
    page = page_of(as_root, PATH, **parameters)
    seen = check_figures(page, body, besides="daily.")
    assert seen >= {f"items.{row}.{column}" for row in range(len(body["items"])) for column in COLUMNS}
    assert seen >= {"totals.tenants", "totals.estimatedCostCents", "totals.overCapTenants", "totals.warningTenants"}
    for item in body["items"]:
        assert f"/admin/usage/{item['tenantId']}" in page.links
        assert item["tenantName"] in page.text


@pytest.mark.parametrize("parameters", [{}, {"period": "2026-10"}])
@pytest.mark.parametrize("by", ["provider", "tenant"])
def test_every_figure_of_the_chart_is_the_route_s(
    as_root: TestClient, root: Headers, parameters: dict[str, str], by: str
) -> None:
    body = json_of(as_root, root, DAILY, groupBy=by, **parameters)
    page = page_of(as_root, PATH, by=by, **parameters)
    seen = check_figures(page, body, only="daily.")
    # One group alone is its own total.
    assert (seen >= {f"days.{day}.costCents" for day in range(len(body["days"]))}) == (len(body["groups"]) > 1)
    for day, entry in enumerate(body["days"]):
        assert seen >= {f"days.{day}.groups.{place}.costCents" for place in range(len(entry["groups"]))}
    assert seen >= {"changePercent", "previousCostCents"}
    assert all(group["name"] in page.text for group in body["groups"])


def test_the_month_is_seen_beside_the_one_before(as_root: TestClient, root: Headers) -> None:
    body = json_of(as_root, root, DAILY)
    html = as_root.get(PATH, params={"by": "month"}).text
    assert "Running total of November 2026, beside October 2026" in html
    assert html.count('class="mark mark--before') == html.count('class="mark mark--line') == 1
    # The last rows of the figures: all that the month cost so far, and what the month before had cost by that day.
    last = re.findall(r'<data value="([^"]*)"', html[html.rindex("<tr data-name=") :])[:2]
    assert last == [body["costUsd"], "0.0479"]


@pytest.mark.parametrize("by", ["provider", "tenant", "month"])
def test_a_day_without_an_answer_says_so(own_database: str, start_app: AppStarter, by: str) -> None:
    execute(
        own_database,
        "insert into ops.source_reads select 'twilio_messages', 'AC1', day::date, 'twilio', 'load-2', now(), 0, 0"
        " from generate_series(timestamp '2026-11-03', timestamp '2026-11-15', interval '1 day') as day",
    )
    with start_app(own_database) as client:
        html = sign_in(client, "root_admin").get(PATH, params={"by": by}).text
    states = dict(re.findall(r'data-name="\w+, Nov (\d+), 2026".*?<td>([^<]*)</td></tr>', html, re.S))
    missed = {day: state for day, state in states.items() if state and day != "20"}
    twilio = dict.fromkeys(["1", "2"], "Not yet metered: Twilio") | dict.fromkeys(["16", "17"], "No answer from Twilio")
    assert missed == twilio
    assert states["20"] == ("" if by == "month" else "The newest day; ") + "No answer from Twilio"
    for kind in ("no_answer", "not_metered"):
        assert re.search(rf'<rect [^>]*fill="url\(#system-{kind}\)"', html)


def test_further_pages_are_about_the_list(crowded_app: TestClient) -> None:
    first = page_of(crowded_app, PATH)
    [following] = [link for link in first.links if "cursor=" in link]
    assert ("Cost by day" in first.text, "Cost by day" in page_of(crowded_app, following).text) == (True, False)


def test_what_has_no_price_is_told_by_kind_with_a_way_to_it(as_root: TestClient) -> None:
    page = page_of(as_root, PATH)
    assert "In no cost here, for want of a price: 87 tokens." in page.text
    assert "/admin/alerts?type=unpriced" in page.links


def test_chips_say_what_the_owner_calls_it(as_root: TestClient) -> None:
    text = page_of(as_root, PATH).text
    assert "Over Cap" in text
    assert "Warning" in text
    assert "Suspended" in text


@pytest.mark.parametrize("key", sorted({*COLUMNS, "tenantName", "plan", "accountStatus"}))
def test_every_column_sorts(as_root: TestClient, key: str) -> None:
    assert key in SORT_KEYS
    links = [link for link in page_of(as_root, PATH, plan="pro").links if f"sort={key}&" in link]
    assert len(links) == 1
    assert "plan=pro" in links[0]
    assert as_root.get(links[0]).status_code == 200


def test_the_sorted_column_is_marked_and_turns(as_root: TestClient) -> None:
    page = as_root.get(PATH, params={"sort": "tenantName", "order": "asc"}).text
    assert page.count('aria-sort="ascending"') == 1
    assert "sort=tenantName&amp;order=desc" in page


def test_filters_are_kept_where_one_goes(as_root: TestClient) -> None:
    html = as_root.get(
        PATH,
        params={"search": "a", "status": "over_cap,warning", "minAiSharePercent": "0", "plan": "pro", "limit": "1"},
    ).text
    assert html.count(" checked") == 2
    assert '<option value="pro" selected>Pro (2)</option>' in html
    assert 'name="search" value="a"' in html
    assert re.search(r'href="/admin/system-usage/export\?[^"]*plan=pro[^"]*search=a', html)


def test_an_empty_form_is_no_filter(as_root: TestClient) -> None:
    assert page_of(as_root, PATH, search="", plan="", period="current").fields["totals.tenants"][0] == "6"


def test_what_nothing_matches_says_so(as_root: TestClient) -> None:
    page = page_of(as_root, PATH, search="nobody at all")
    assert "No tenant matches these filters." in page.text
    assert page.fields["totals.tenants"][0] == "0"


def test_months_to_choose_from(as_root: TestClient) -> None:
    html = as_root.get(PATH).text
    assert re.findall(r'<option value="(\d{4}-\d\d)"', html) == [
        "2026-11",
        "2026-10",
        "2026-09",
        "2026-08",
        "2026-07",
        "2026-06",
    ]


def test_pages_lead_on_and_back(as_root: TestClient, root: Headers) -> None:
    whole = [item["tenantId"] for item in json_of(as_root, root, ROUTE)["items"]]

    def shown(path: str) -> tuple[list[str], str | None, str | None]:
        html = as_root.get(path).text
        ids = re.findall(r'class="who" href="/admin/usage/([^"]+)"', html)
        ahead, behind = (re.search(rf'href="([^"]+)" rel="{rel}"', html) for rel in ("next", "prev"))
        return ids, ahead and ahead[1].replace("&amp;", "&"), behind and behind[1].replace("&amp;", "&")

    seen, path, back = [], f"{PATH}?limit=2", None
    for _ in range(3):
        ids, ahead, back = shown(path)
        seen.append(ids)
        if ahead:
            path = ahead
    assert [one for ids in seen for one in ids] == whole
    assert ahead is None
    for expected in (seen[1], seen[0]):
        assert back is not None
        ids, _, back = shown(back)
        assert ids == expected
    assert back is None


class TestFile:
    def test_it_is_the_list_of_the_route(self, as_root: TestClient, root: Headers) -> None:
        parameters = {"sort": "tenantName", "order": "asc", "period": "2026-10"}
        answer = as_root.get(f"{PATH}/export", params=parameters)
        assert answer.headers["content-type"] == "text/csv; charset=utf-8"
        assert answer.headers["content-disposition"] == 'attachment; filename="system-usage-2026-10.csv"'
        assert answer.text == as_root.get(f"{ROUTE}/export", params=parameters, headers=root).text
        assert len(list(csv.DictReader(io.StringIO(answer.text)))) == 6

    def test_a_formula_is_neutralised_and_markup_is_text(self, own_database: str, start_app: AppStarter) -> None:
        execute(
            own_database,
            "update marts.tenants set name = '=1+1' where tenant_id = 'acme'",
            "update marts.tenants set name = '<script>alert(1)</script>', plan_label = '<b>' where tenant_id = 'elm'",
        )
        with as_owner(start_app, own_database) as browser:
            names = [row["tenant_name"] for row in csv.DictReader(io.StringIO(browser.get(f"{PATH}/export").text))]
            assert "'=1+1" in names
            assert "=1+1" not in names
            for path in (PATH, "/admin/usage", "/admin/usage/elm", "/admin/usage/elm/explain", "/admin/reconciliation"):
                html = browser.get(path).text
                assert "<script>alert" not in html
                assert "<b>" not in html
            assert "&lt;script&gt;alert(1)&lt;/script&gt;" in browser.get(PATH).text


@pytest.mark.parametrize(
    "path",
    [
        PATH,
        f"{PATH}?limit=100",
        "/admin/usage",
        "/admin/usage/t0001",
        "/admin/usage/acme?startDate=2025-11-20",
        "/admin/alerts?state=all",
        "/admin/reconciliation",
        "/admin/data-freshness",
    ],
)
def test_a_page_of_a_thousand_tenants_is_not_big(crowded_app: TestClient, path: str) -> None:
    answer = crowded_app.get(path, headers={"Accept-Encoding": "identity"})
    assert answer.status_code == 200
    assert len(answer.content) < PAGE_LIMIT_BYTES


def test_a_crowd_is_paged_by_fifty(crowded_app: TestClient, root: Headers) -> None:
    page = page_of(crowded_app, PATH)
    assert page.fields["totals.tenants"][0] == "1,006"
    assert "1–50 of 1,006 tenants" in page.text
    assert len({field.split(".")[1] for field in page.fields if field.startswith("items.")}) == 50
    check_figures(page, json_of(crowded_app, root, ROUTE), besides="daily.")
