"""GET /api/admin/usage/alerts: what is open, the newest first; filtered and paged."""

from __future__ import annotations

from typing import Any

import pytest
from fastapi.testclient import TestClient

from tests.api.conftest import Headers

ROUTE = "/api/admin/usage/alerts"


def ask(client: TestClient, headers: Headers, query: str = "") -> dict[str, Any]:
    answer = client.get(f"{ROUTE}?{query}", headers=headers)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def kinds(body: dict[str, Any]) -> list[str]:
    return [f"{item['tenantId']} {item['alertType']}" for item in body["items"]]


def test_open_alerts_come_with_the_table_s_columns(client: TestClient, root: Headers) -> None:
    body = ask(client, root)
    assert kinds(body) == ["unattributed drift", "bolt cap", "acme threshold"]
    assert body["dataAsOf"] == "2026-11-20T11:45:00Z"
    item = body["items"][1]
    assert {name: item[name] for name in item if name != "id"} == {
        "tenantId": "bolt",
        "tenantName": "Bolt Realty",
        "alertType": "cap",
        "severity": "critical",
        "channel": "sms",
        "message": "The monthly cap of sms is exceeded: 501 units of 500 units used",
        "details": {},
        "acknowledged": True,
        "acknowledgedAt": "2026-11-12T08:00:00Z",
        "acknowledgedBy": "kim",
        "resolvedAt": None,
        "createdAt": "2026-11-12T00:30:00Z",
    }


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("acknowledged=false", ["unattributed drift", "acme threshold"]),
        ("acknowledged=true", ["bolt cap"]),
        ("state=resolved", ["acme spike"]),
        ("state=all&tenantId=acme", ["acme threshold", "acme spike"]),
        ("alertType=cap,drift", ["unattributed drift", "bolt cap"]),
        ("severity=critical", ["bolt cap"]),
        ("tenantId=nobody", []),
    ],
)
def test_filters(client: TestClient, root: Headers, query: str, expected: list[str]) -> None:
    assert kinds(ask(client, root, query)) == expected


@pytest.mark.parametrize("query", ["acknowledged=perhaps", "state=shut", "alertType=x", "severity=loud", "limit=0"])
def test_bad_input_names_the_field(client: TestClient, root: Headers, query: str) -> None:
    answer = client.get(f"{ROUTE}?{query}", headers=root)
    assert answer.status_code == 422
    assert [error["field"] for error in answer.json()["errors"]] == [query.split("=")[0]]


def test_pages_together_are_the_whole_list(client: TestClient, root: Headers) -> None:
    found: list[str] = []
    cursor = ""
    for _ in range(5):
        body = ask(client, root, f"state=all&limit=1{cursor}")
        found += kinds(body)
        if body["nextCursor"] is None:
            break
        cursor = f"&cursor={body['nextCursor']}"
    assert found == kinds(ask(client, root, "state=all"))
    assert client.get(f"{ROUTE}?limit=1{cursor}", headers=root).status_code == 422


def test_a_tenant_may_not_read_the_owner_s_list(client: TestClient, acme: Headers) -> None:
    assert client.get(ROUTE, headers=acme).status_code == 403
