"""`/admin/reconciliation` shows what `/api/admin/usage/reconciliation` returns."""

from __future__ import annotations

import pytest
from fastapi.testclient import TestClient

from api.admin.reconciliation import STATES
from tests.api.conftest import Headers
from tests.dashboard.owner.conftest import check_figures, json_of, page_of

PATH = "/admin/reconciliation"
ROUTE = "/api/admin/usage/reconciliation"


@pytest.mark.parametrize(
    "parameters",
    [
        {},
        {"period": "2026-10"},
        {"state": "drift"},
        {"service": "sendgrid"},
        {"tenantId": "acme", "state": "", "service": ""},
    ],
)
def test_every_figure_is_the_route_s(as_root: TestClient, root: Headers, parameters: dict[str, str]) -> None:
    body = json_of(as_root, root, ROUTE, **parameters)
    seen = check_figures(page_of(as_root, PATH, **parameters), body)
    assert seen >= {f"totals.{state}" for state in STATES}
    columns = ("state", "providerUnits", "trackedUnits", "difference")
    assert seen >= {f"items.{row}.{column}" for row in range(len(body["items"])) for column in columns}
    # One figure says how well the two agree: how far they drift apart, or how much was tracked at all.
    for row, item in enumerate(body["items"]):
        shown = {name for name in ("driftPercent", "trackedPercent") if f"items.{row}.{name}" in seen}
        assert shown == {"driftPercent" if item["state"] == "drift" else "trackedPercent"}


def test_a_state_filters_and_is_taken_back(as_root: TestClient) -> None:
    assert f"{PATH}?state=drift" in page_of(as_root, PATH).links
    page = page_of(as_root, PATH, state="drift", service="openai")
    assert f"{PATH}?service=openai" in page.links
    assert "1–1 of 1 rows" in page.text


def test_it_is_sorted_searched_and_sent_as_a_file(as_root: TestClient, root: Headers) -> None:
    page = page_of(as_root, PATH, search="acme", sort="trackedUnits", order="asc")
    check_figures(page, json_of(as_root, root, ROUTE, search="acme", sort="trackedUnits", order="asc"))
    assert f"{PATH}?search=acme&sort=trackedUnits&order=desc" in page.links
    (file,) = [link for link in page.links if "/export" in link]
    assert as_root.get(file).text == as_root.get(file.replace(PATH, ROUTE), headers=root).text


def test_a_row_can_be_explained(as_root: TestClient) -> None:
    links = page_of(as_root, PATH).links
    assert "/admin/usage/unattributed/explain?date=2026-11-12" in links
    assert as_root.get("/admin/usage/unattributed/explain?date=2026-11-12").status_code == 200


def test_nothing_that_fits(as_root: TestClient) -> None:
    assert "Nothing to reconcile here." in page_of(as_root, PATH, tenantId="nobody").text


def test_it_leads_on_and_back(crowded_app: TestClient) -> None:
    first = page_of(crowded_app, PATH)
    assert "1–50 of 6,005 rows" in first.text
    [following] = [link for link in first.links if "cursor=" in link]
    second = page_of(crowded_app, following)
    assert "51–100 of 6,005 rows" in second.text
    third = page_of(crowded_app, next(link for link in second.links if "page=3" in link))
    back = page_of(crowded_app, next(link for link in third.links if "page=2" in link))
    assert back.fields == second.fields
