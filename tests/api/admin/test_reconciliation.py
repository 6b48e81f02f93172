"""GET /api/admin/usage/reconciliation: states of a month's days, filtered and paged."""

from __future__ import annotations

import csv
import io
from typing import Any, get_args

import pytest
from fastapi.testclient import TestClient

from api.admin.reconciliation import Sort
from tests.api.conftest import Headers

ROUTE = "/api/admin/usage/reconciliation"


def ask(client: TestClient, headers: Headers, query: str = "") -> dict[str, Any]:
    answer = client.get(f"{ROUTE}?{query}", headers=headers)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def keys(body: dict[str, Any]) -> list[tuple[str, str, str]]:
    return [(item["date"], item["tenantId"], item["service"]) for item in body["items"]]


def test_anonymous_is_401_and_a_tenant_403(client: TestClient, acme: Headers) -> None:
    assert client.get(ROUTE).status_code == 401
    assert client.get(ROUTE, headers=acme).status_code == 403


def test_a_months_rows_are_the_newest_first_with_totals_by_state(client: TestClient, root: Headers) -> None:
    body = ask(client, root)
    assert keys(body) == [
        ("2026-11-19", "acme", "openai"),
        ("2026-11-19", "acme", "twilio_sms"),
        ("2026-11-12", "unattributed", "sendgrid"),
        ("2026-11-05", "dune", "sendgrid"),
        ("2026-11-01", "acme", "twilio_sms"),
    ]
    assert body["totals"] == {"drift": 1, "matched": 1, "partly_tracked": 1, "provider_only": 2}
    assert body["items"][0] == {
        "tenantId": "acme",
        "tenantName": "Acme Homes",
        "date": "2026-11-19",
        "service": "openai",
        "providerUnits": 10,
        "trackedUnits": 12,
        "difference": -2,
        "driftPercent": 20.0,
        "trackedPercent": 120.0,
        "state": "drift",
        "matchedCount": 1,
        "providerOnlyCount": 0,
        "trackedOnlyCount": 0,
        "misattributedCount": 0,
        "pricePendingCount": 0,
    }
    assert keys(ask(client, root, "period=2026-10")) == [("2026-10-31", "acme", "twilio_sms")]


@pytest.mark.parametrize(
    ("query", "count"),
    [
        ("state=drift", 1),
        ("state=drift,matched", 2),
        ("tenantId=acme", 3),
        ("service=sendgrid", 2),
        ("tenantId=acme&service=sendgrid", 0),
        ("state=provider_only&tenantId=dune", 1),
        ("state=partly_tracked", 1),
        ("search=ACME+ho", 3),
        ("search=unattr", 1),
    ],
)
def test_filters_narrow_rows_and_totals(client: TestClient, root: Headers, query: str, count: int) -> None:
    body = ask(client, root, query)
    assert len(body["items"]) == count
    assert sum(body["totals"].values()) == count


def test_tracked_in_part_is_a_state_with_its_share_and_no_drift(client: TestClient, root: Headers) -> None:
    (row,) = ask(client, root, "state=partly_tracked")["items"]
    assert (row["providerUnits"], row["trackedUnits"], row["difference"]) == (250, 200, 50)
    assert (row["trackedPercent"], row["driftPercent"]) == (80.0, 0.0)
    assert {item["trackedPercent"] for item in ask(client, root, "state=provider_only")["items"]} == {0.0}


@pytest.mark.parametrize("sort", get_args(Sort))
@pytest.mark.parametrize("order", ["asc", "desc"])
def test_every_column_sorts_both_ways(client: TestClient, root: Headers, sort: str, order: str) -> None:
    body = ask(client, root, f"sort={sort}&order={order}")
    shown = [row["tenantName"].lower() if sort == "tenantName" else row[sort] for row in body["items"]]
    assert shown == sorted(shown, reverse=order == "desc")
    assert len(shown) == 5


def test_the_file_is_the_whole_list_in_its_order(client: TestClient, root: Headers) -> None:
    query = "sort=providerUnits&search=acme"
    answer = client.get(f"{ROUTE}/export?{query}&limit=1", headers=root)
    assert answer.headers["content-disposition"] == 'attachment; filename="reconciliation-2026-11.csv"'
    rows = list(csv.DictReader(io.StringIO(answer.text)))
    items = ask(client, root, query)["items"]
    names = {"provider_units": "providerUnits", "tracked_percent": "trackedPercent", "state": "state", "date": "date"}
    assert [{name: row[name] for name in names} for row in rows] == [
        {name: str(item[key]) for name, key in names.items()} for item in items
    ]


@pytest.mark.parametrize("limit", [1, 2, 3])
@pytest.mark.parametrize("order", ["", "&sort=state", "&sort=driftPercent&order=asc", "&sort=tenantName"])
def test_pages_are_the_whole_list(client: TestClient, root: Headers, limit: int, order: str) -> None:
    whole = keys(ask(client, root, order.removeprefix("&")))
    found: list[tuple[str, str, str]] = []
    cursor = ""
    while True:
        body = ask(client, root, f"limit={limit}{order}{cursor}")
        found += keys(body)
        if body["nextCursor"] is None:
            break
        cursor = f"&cursor={body['nextCursor']}"
    assert found == whole


@pytest.mark.parametrize(
    "query", ["state=odd", "period=2027-01", "limit=0", "cursor=nonsense", "period=november", "sort=x"]
)
def test_bad_input_is_422(client: TestClient, root: Headers, query: str) -> None:
    assert client.get(f"{ROUTE}?{query}", headers=root).status_code == 422


def test_a_cursor_of_another_list_is_422(client: TestClient, root: Headers) -> None:
    cursor = ask(client, root, "limit=1")["nextCursor"]
    assert client.get(f"{ROUTE}?state=drift&cursor={cursor}", headers=root).status_code == 422
