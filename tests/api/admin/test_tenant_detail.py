"""`/api/admin/usage/{tenantId}` and `/api/admin/usage/freshness`."""

from __future__ import annotations

from typing import Any

import pytest
from fastapi.testclient import TestClient

from tests.api.conftest import AppStarter, Headers

FRESHNESS = "/api/admin/usage/freshness"


def detail(client: TestClient, headers: Headers, tenant_id: str = "acme", **parameters: str) -> dict[str, Any]:
    answer = client.get(f"/api/admin/usage/{tenant_id}", params=parameters, headers=headers)
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json()
    return body


@pytest.mark.parametrize("path", ["/api/admin/usage/acme", FRESHNESS])
def test_anonymous_is_401_and_a_tenant_403(client: TestClient, acme: Headers, path: str) -> None:
    assert client.get(path).status_code == 401
    assert client.get(path, headers=acme).status_code == 403


@pytest.mark.parametrize("tenant_id", ["nobody", "explain", "%27"])
def test_an_unknown_tenant_is_404(client: TestClient, root: Headers, tenant_id: str) -> None:
    answer = client.get(f"/api/admin/usage/{tenant_id}", headers=root)
    assert (answer.status_code, answer.headers["content-type"]) == (404, "application/problem+json")


def test_this_month_to_today(client: TestClient, root: Headers) -> None:
    body = detail(client, root)
    assert (body["startDate"], body["endDate"]) == ("2026-11-01", "2026-11-20")
    assert (body["totalCostCents"], body["totalCostUsd"]) == (532, "5.315")
    assert body["byService"] == [
        {
            "service": "twilio_sms",
            "requestCount": 500,
            "costCents": 514,
            "costUsd": "5.135",
            "unpricedUnitCount": 0,
        },
        {
            "service": "twilio_voice",
            "requestCount": 3,
            "costCents": 18,
            "costUsd": "0.175",
            "unpricedUnitCount": 0,
        },
        {"service": "openai", "requestCount": 5, "costCents": 0, "costUsd": "0.005", "unpricedUnitCount": 10},
    ]
    assert len(body["byDay"]) == 20
    assert body["byDay"][1] == {"date": "2026-11-02", "requestCount": 0, "costCents": 0, "costUsd": "0"}
    assert body["byDay"][18] == {
        "date": "2026-11-19",
        "requestCount": 201,
        "costCents": 198,
        "costUsd": "1.975",
    }
    assert [(row["operation"], row["activity"], row["unit"], row["costUsd"]) for row in body["topOperations"]] == [
        ("outbound", None, "segments", "4.74"),
        ("inbound", None, "segments", "0.395"),
        ("outbound", None, "minutes", "0.175"),
        ("chat_completion", "lead_scoring", "tokens", "0.005"),
        ("chat_completion", None, "tokens", None),
    ]
    assert body["currentMonth"] == {
        "costCents": 532,
        "costUsd": "5.315",
        "daysRemaining": 10,
        "projectedCostCents": 811,
        "projectedCostUsd": "8.105263157894736842",
        "adjustmentCents": 0,
        "adjustmentUsd": "0",
    }
    assert body["alerts"] == []


def test_a_range_of_days_both_included(client: TestClient, root: Headers) -> None:
    body = detail(client, root, startDate="2026-10-15", endDate="2026-10-31")
    assert (body["totalCostUsd"], len(body["byDay"])) == ("7.94", 17)
    assert body["currentMonth"]["costUsd"] == "5.315"


def test_an_earlier_end_alone_starts_with_its_month(client: TestClient, root: Headers) -> None:
    assert detail(client, root, endDate="2026-10-20")["startDate"] == "2026-10-01"


def test_unpriced_is_null(client: TestClient, root: Headers) -> None:
    body = detail(client, root, "bolt")
    assert (body["totalCostCents"], body["totalCostUsd"]) == (None, None)
    assert body["currentMonth"]["projectedCostCents"] is None


def test_a_tenant_without_usage(client: TestClient, root: Headers) -> None:
    body = detail(client, root, "cobalt")
    assert (body["totalCostUsd"], body["byService"], body["currentMonth"]["costUsd"]) == ("0", [], "0")


def test_unattributed_is_a_tenant_here(client: TestClient, root: Headers) -> None:
    assert detail(client, root, "unattributed")["totalCostUsd"] == "0.005"


@pytest.mark.parametrize(
    ("parameters", "field"),
    [
        ({"startDate": "2026-11-21"}, "startDate"),
        ({"endDate": "2026-11-21"}, "endDate"),
        ({"startDate": "2026-11-02", "endDate": "2026-11-01"}, "startDate"),
        ({"startDate": "2020-01-01"}, "startDate"),
        ({"startDate": "yesterday"}, "startDate"),
        ({"endDate": ""}, "endDate"),
    ],
)
def test_bad_days_are_422(client: TestClient, root: Headers, parameters: dict[str, str], field: str) -> None:
    answer = client.get("/api/admin/usage/acme", params=parameters, headers=root)
    assert answer.status_code == 422
    assert [error["field"] for error in answer.json()["errors"]] == [field]


def test_a_nul_in_the_path_is_422(client: TestClient, root: Headers) -> None:
    assert client.get("/api/admin/usage/a%00b", headers=root).status_code == 422


@pytest.mark.parametrize(("as_of", "remaining"), [("2026-11-30T23:59:59Z", 0), ("2026-12-01", 30), ("2028-02-01", 28)])
def test_days_remaining_are_those_after_today(
    seeded: str, start_app: AppStarter, root: Headers, as_of: str, remaining: int
) -> None:
    with start_app(seeded, METERING_AS_OF=as_of) as client:
        assert detail(client, root)["currentMonth"]["daysRemaining"] == remaining


def test_freshness_tells_of_each_table(client: TestClient, root: Headers) -> None:
    assert client.get(FRESHNESS, headers=root).json() == {
        "dataAsOf": "2026-11-20T11:45:00Z",
        "items": [
            {
                "provider": "twilio",
                "tableName": "twilio_messages",
                "lastReadAt": "2026-11-20T11:50:00Z",
                "lastUsageDate": "2026-11-19",
                "rowCount": 260,
                "rejectedCount": 1,
                "lastRunStatus": "failed",
                "lastError": "HTTP 503",
                "lastRunAt": "2026-11-20T11:51:00Z",
            }
        ],
        "proof": {
            "lastProvenAt": "2026-11-20T12:11:00Z",
            "provenDays": 1,
            "differentDays": ["2026-11-11"],
        },
    }
