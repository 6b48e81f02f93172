"""`/api/admin/usage/{tenantId}` and `/api/admin/usage/freshness`."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest
from fastapi.testclient import TestClient

from tests.api.conftest import AppStarter, Headers, execute
from warehouse.urls import as_role

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
            "unpricedUnits": [],
        },
        {
            "service": "twilio_voice",
            "requestCount": 3,
            "costCents": 18,
            "costUsd": "0.175",
            "unpricedUnitCount": 0,
            "unpricedUnits": [],
        },
        {
            "service": "openai",
            "requestCount": 5,
            "costCents": 0,
            "costUsd": "0.005",
            "unpricedUnitCount": 10,
            "unpricedUnits": [{"unit": "tokens", "quantity": 10}],
        },
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
        # 5.135 in 19 complete days; today's 0.18 is in none.
        "dailyAverageCents": 27,
        "dailyAverageUsd": "0.27026315789473684211",
        "costChangePercent": -33.1,
        "marginCents": 9418,
        "marginUsd": "94.185",
        "status": "warning",
        "adjustmentCents": 0,
        "adjustmentUsd": "0",
    }
    assert body["alerts"] == []
    assert (body["plan"], body["planLabel"], body["monthlyBasePriceUsd"]) == ("pro", "Pro", "99.5")
    assert (body["accountStatus"], body["hardStopEnabled"]) == ("active", True)
    assert body["blockedActions"] == {"total": 0, "byChannel": []}
    assert body["reconciliation"] == {"matched": 1, "drift": 1, "partly_tracked": 1}


def test_a_range_of_days_both_included(client: TestClient, root: Headers) -> None:
    body = detail(client, root, startDate="2026-10-15", endDate="2026-10-31")
    assert (body["totalCostUsd"], len(body["byDay"])) == ("7.94", 17)
    assert body["currentMonth"]["costUsd"] == "5.315"


def test_on_the_first_of_a_month_the_daily_average_is_today_so_far(
    own_database: str, start_app: AppStarter, root: Headers
) -> None:
    with start_app(own_database, METERING_AS_OF="2026-11-01T08:00:00Z") as client:
        assert detail(client, root)["currentMonth"]["dailyAverageUsd"] == "3.16"
        assert detail(client, root, "cobalt")["currentMonth"]["dailyAverageUsd"] == "0"


def test_blocked_actions_are_the_tenant_s_own_of_those_days(
    own_database: str, start_app: AppStarter, root: Headers
) -> None:
    execute(
        own_database,
        "insert into ops.access_decisions (tenant_id, channel, units, allowed, decided_at) values"
        " ('acme', 'sms', 1, false, '2026-11-01 00:00+00'), ('acme', 'sms', 9, false, '2026-11-20 23:59:59+00'),"
        " ('acme', 'ai', 100, false, '2026-11-03 10:00+00'), ('acme', 'sms', 1, true, '2026-11-03 10:00+00'),"
        " ('acme', 'sms', 1, false, '2026-10-31 23:59:59+00'), ('bolt', 'sms', 1, false, '2026-11-03 10:00+00')",
    )
    with start_app(own_database) as client:
        assert detail(client, root)["blockedActions"] == {
            "total": 3,
            "byChannel": [
                {"channel": "sms", "blockedCount": 2, "lastBlockedAt": "2026-11-20T23:59:59Z"},
                {"channel": "ai", "blockedCount": 1, "lastBlockedAt": "2026-11-03T10:00:00Z"},
            ],
        }
        assert detail(client, root, startDate="2026-10-31", endDate="2026-10-31")["blockedActions"]["total"] == 1
    with psycopg.connect(as_role(own_database, "metering_api")) as connection:
        seen = "select distinct tenant_id from ops.blocked_actions"
        assert connection.execute(seen).fetchall() == []
        connection.execute("select set_config('metering.tenant_id', 'bolt', true)")
        assert connection.execute(seen).fetchall() == [("bolt",)]


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
        "isReplica": False,
        "replicaBehindSeconds": None,
    }
