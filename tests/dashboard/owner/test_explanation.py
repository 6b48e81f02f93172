"""`/admin/usage/{tenantId}/explain` shows what the JSON route of the same address returns."""

from __future__ import annotations

from fastapi.testclient import TestClient

from tests.api.conftest import Headers
from tests.dashboard.owner.conftest import check_figures, json_of, page_of

PATH = "/admin/usage/acme/explain"
ROUTE = "/api/admin/usage/acme/explain"


def test_every_figure_is_the_route_s(as_root: TestClient, root: Headers) -> None:
    body = json_of(as_root, root, ROUTE, date="2026-11-19")
    page = page_of(as_root, PATH, date="2026-11-19")
    seen = check_figures(page, body)
    assert seen >= {f"lines.{row}.estimatedCostUsd" for row in range(len(body["lines"]))} - {"lines.2.estimatedCostUsd"}
    for line in body["lines"]:
        assert (line["formula"] or line["unpricedReason"]) in page.text
        assert all(record["id"] in page.text for record in line["records"]["items"])


def test_days_before_and_after(as_root: TestClient) -> None:
    links = page_of(as_root, PATH, date="2026-11-19").links
    assert {f"{PATH}?date=2026-11-18", f"{PATH}?date=2026-11-20", "/admin/usage/acme"} <= set(links)
    assert f"{PATH}?date=2026-11-21" not in page_of(as_root, PATH, date="2026-11-20").links


def test_one_channel(as_root: TestClient) -> None:
    assert "Twilio SMS" not in page_of(as_root, PATH, date="2026-11-19", channel="ai").text
    assert as_root.get(PATH, params={"channel": "x"}).status_code == 404


def test_a_line_s_records_are_paged(as_root: TestClient, root: Headers) -> None:
    line = json_of(as_root, root, ROUTE, date="2026-11-19")["lines"][0]["lineId"]
    first = page_of(as_root, PATH, date="2026-11-19", line=line, records=2)
    assert "1–2 of 3 records" in first.text
    [following] = [link for link in first.links if "cursor=" in link]
    second = page_of(as_root, following + "&records=2")
    assert "R3" in second.text
    assert "R1" not in second.text


def test_a_quiet_day(as_root: TestClient) -> None:
    assert "Nothing was used on this day." in page_of(as_root, PATH, date="2026-11-02").text
