"""GET /api/admin/usage/unattributed/resources: what used what nobody owns, and the line that gives it to a tenant."""

from __future__ import annotations

import csv
import io
from decimal import Decimal
from typing import Any

import psycopg
import pytest
from fastapi.testclient import TestClient

from tests.api.conftest import Headers
from warehouse.urls import as_role

ROUTE = "/api/admin/usage/unattributed/resources"


def ask(client: TestClient, headers: Headers, query: str = "") -> dict[str, Any]:
    answer = client.get(f"{ROUTE}?{query}", headers=headers)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def resources(body: dict[str, Any]) -> list[tuple[str, str]]:
    return [(item["resourceType"], item["resourceId"]) for item in body["items"]]


def test_a_months_resources_are_the_dearest_first(client: TestClient, root: Headers) -> None:
    body = ask(client, root, "period=2026-10")
    assert resources(body) == [
        ("project", "=proj_lost"),
        ("tenant", "acmee"),
        ("phone_number", "+15550100"),
        ("tenant", ""),
        ("phone_number", "hash-of-nobody"),
    ]
    assert body["totals"] == {
        "resources": 5,
        "costCents": 69,
        "costUsd": "0.6876",
        "unpricedUnitCount": 900,
        "unpricedUnits": [{"unit": "tokens", "quantity": 900}],
    }
    # What the month's list of tenants says of nobody's usage is what is listed here.
    (now,) = ask(client, root)["items"]
    summary = client.get("/api/admin/billing/usage/system-summary?search=unattributed", headers=root).json()
    assert now["costUsd"] == summary["items"][0]["estimatedCostUsd"]


def test_one_of_our_numbers_has_all_that_it_did_and_its_line(client: TestClient, root: Headers) -> None:
    (number,) = ask(client, root, "period=2026-10&search=%2B15550100")["items"]
    assert {name: number[name] for name in ("provider", "isClear", "recordId", "firstDate", "lastDate")} == {
        "provider": "twilio",
        "isClear": True,
        "recordId": "SM3",
        "firstDate": "2026-10-30",
        "lastDate": "2026-10-31",
    }
    assert (number["requestCount"], number["costUsd"], number["percentOfTotal"]) == (3, "0.0517", 7.5)
    assert [(part["service"], part["unitCount"], part["costUsd"]) for part in number["usage"]] == [
        ("twilio_voice", 2, "0.028"),
        ("twilio_sms", 3, "0.0237"),
    ]
    assert number["directoryFile"] == "tenant_resources.csv"
    assert number["directoryLine"] == "TENANT_ID,twilio,phone_number,+15550100,2026-10-30,"


def test_what_no_line_can_give_away_has_none(client: TestClient, root: Headers) -> None:
    lines = {
        (item["resourceType"], item["resourceId"]): (item["isClear"], item["directoryFile"], item["directoryLine"])
        for item in ask(client, root, "period=2026-10")["items"]
    }
    assert lines["phone_number", "hash-of-nobody"] == (False, None, None)
    assert lines["tenant", ""] == (True, None, None)
    assert lines["tenant", "acmee"] == (True, "tenants.csv", "acmee,NAME,PLAN,active,false")
    assert lines["project", "=proj_lost"][2] == "TENANT_ID,openai,project,=proj_lost,2026-10-02,"


@pytest.mark.parametrize(
    ("query", "first"),
    [
        ("sort=resourceId&order=asc", ("tenant", "")),
        ("sort=resourceId", ("phone_number", "hash-of-nobody")),
        ("sort=provider&order=asc", ("tenant", "")),
        ("sort=requestCount", ("project", "=proj_lost")),
        ("sort=firstDate&order=asc", ("project", "=proj_lost")),
        ("sort=firstDate", ("phone_number", "hash-of-nobody")),
        ("search=EVT-1", ("tenant", "acmee")),
        ("search=OPENAI", ("project", "=proj_lost")),
    ],
)
def test_it_is_sorted_and_searched(client: TestClient, root: Headers, query: str, first: tuple[str, str]) -> None:
    assert resources(ask(client, root, f"period=2026-10&{query}"))[0] == first


@pytest.mark.parametrize("limit", [1, 2, 4])
@pytest.mark.parametrize("order", ["", "&sort=provider&order=asc"])
def test_pages_are_the_whole_list(client: TestClient, root: Headers, limit: int, order: str) -> None:
    whole = resources(ask(client, root, f"period=2026-10{order}"))
    found: list[tuple[str, str]] = []
    cursor = ""
    while True:
        body = ask(client, root, f"period=2026-10&limit={limit}{order}{cursor}")
        found += resources(body)
        if body["nextCursor"] is None:
            break
        cursor = f"&cursor={body['nextCursor']}"
    assert found == whole


def test_the_file_is_the_list_and_no_spreadsheet_runs_it(client: TestClient, root: Headers) -> None:
    answer = client.get(f"{ROUTE}/export?period=2026-10&limit=1", headers=root)
    assert answer.headers["content-disposition"] == 'attachment; filename="unattributed-2026-10.csv"'
    rows = list(csv.DictReader(io.StringIO(answer.text)))
    body = ask(client, root, "period=2026-10")
    assert [row["cost_usd"] for row in rows] == [item["costUsd"] for item in body["items"]]
    assert rows[0]["resource_id"] == "'=proj_lost"
    assert sum(Decimal(row["cost_usd"]) for row in rows) == Decimal(body["totals"]["costUsd"])


@pytest.mark.parametrize("query", ["period=2027-01", "limit=0", "sort=odd", "order=up", "cursor=nonsense", "serch=x"])
def test_bad_input_is_422(client: TestClient, root: Headers, query: str) -> None:
    assert client.get(f"{ROUTE}?{query}", headers=root).status_code == 422


def test_numbers_in_clear_are_the_owners_alone(seeded: str) -> None:
    with psycopg.connect(as_role(seeded, "metering_api"), autocommit=True) as connection:
        assert connection.execute("select * from ops.own_numbers").fetchall() == []
        connection.execute("set metering.tenant_id = 'unattributed'")
        assert connection.execute("select * from ops.own_numbers").fetchall() == []
        connection.execute("set metering.role = 'root_admin'")
        assert ("hash-of-ours", "+15550100") in connection.execute("select * from ops.own_numbers").fetchall()
