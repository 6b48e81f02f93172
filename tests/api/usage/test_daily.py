"""`/api/billing/usage/daily` and `/features`."""

from __future__ import annotations

from typing import Any

import pytest
from fastapi.testclient import TestClient

from tests.api.conftest import AppStarter, Headers

DAILY = "/api/billing/usage/daily"
FEATURES = "/api/billing/usage/features"


def daily(client: TestClient, headers: Headers, **parameters: str) -> dict[str, Any]:
    answer = client.get(DAILY, params=parameters, headers=headers)
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json()
    return body


@pytest.mark.parametrize("path", [DAILY, FEATURES])
def test_anonymous_is_401_and_another_tenant_404(client: TestClient, acme: Headers, path: str) -> None:
    assert client.get(path).status_code == 401
    assert client.get(path, params={"tenantId": "bolt"}, headers=acme).status_code == 404


def test_range_is_today_and_the_days_before(client: TestClient, acme: Headers) -> None:
    body = daily(client, acme, range="30d")
    assert (body["from"], body["to"]) == ("2026-10-22", "2026-11-20")
    assert body == daily(client, acme)
    assert daily(client, acme, range="1d")["from"] == "2026-11-20"


def test_rows_are_dense_per_day_and_channel(client: TestClient, acme: Headers) -> None:
    rows = daily(client, acme, **{"from": "2026-11-18", "to": "2026-11-19"})["rows"]
    assert [(row["date"], row["channel"]) for row in rows] == [
        (day, channel) for day in ("2026-11-18", "2026-11-19") for channel in ("sms", "email", "ai")
    ]
    sms = rows[3]
    assert (sms["unitCount"], sms["requestCount"], sms["estimatedCostUsd"]) == (250, 200, "1.975")
    assert (sms["estimatedCostCents"], sms["billedCostCents"], sms["isFinal"]) == (198, None, False)
    ai = rows[5]
    assert (ai["estimatedCostCents"], ai["unpricedUnitCount"], ai["billedCostUsd"]) == (None, 10, "0.25")


def test_a_quiet_day_is_final_by_its_age(client: TestClient, acme: Headers) -> None:
    rows = daily(client, acme, **{"from": "2026-11-16", "to": "2026-11-18"})["rows"]
    assert [row["isFinal"] for row in rows if row["channel"] == "sms"] == [True, False, False]


def test_to_defaults_to_today(client: TestClient, acme: Headers) -> None:
    assert daily(client, acme, **{"from": "2026-11-19"})["to"] == "2026-11-20"


@pytest.mark.parametrize(
    ("parameters", "field"),
    [
        ({"range": "0d"}, "range"),
        ({"range": "367d"}, "range"),
        ({"range": "30"}, "range"),
        ({"range": "-1d"}, "range"),
        ({"range": ""}, "range"),
        ({"range": "7d", "from": "2026-11-01"}, "range"),
        ({"to": "2026-11-01"}, "from"),
        ({"from": "2026-11-02", "to": "2026-11-01"}, "from"),
        ({"from": "2025-11-01", "to": "2026-11-20"}, "from"),
        ({"from": "2026-11-01", "to": "2026-11-21"}, "to"),
        ({"from": "2026-11-31"}, "from"),
        ({"from": "20261101"}, "from"),
        ({"from": "1"}, "from"),
        ({"from": "2026-11-01T00:00:00Z"}, "from"),
    ],
)
def test_bad_ranges_are_422_naming_the_field(
    client: TestClient, acme: Headers, parameters: dict[str, str], field: str
) -> None:
    for path in (DAILY, "/api/billing/usage/export"):
        answer = client.get(path, params=parameters, headers=acme)
        assert answer.status_code == 422
        assert [error["field"] for error in answer.json()["errors"]] == [field]


def test_a_leap_year_is_one_range(seeded: str, start_app: AppStarter, acme: Headers) -> None:
    with start_app(seeded, METERING_AS_OF="2028-12-31") as client:
        rows = daily(client, acme, **{"from": "2028-01-01", "to": "2028-12-31"})
    assert (rows["from"], rows["to"]) == ("2028-01-01", "2028-12-31")


def test_the_alias_gives_the_same(client: TestClient, acme: Headers) -> None:
    assert client.get("/api/admin/usage/daily", headers=acme).json() == daily(client, acme)


def test_features_are_by_cost_with_their_share(client: TestClient, acme: Headers) -> None:
    body = client.get(FEATURES, headers=acme).json()
    assert [
        (
            row["feature"],
            row["channel"],
            row["source"],
            row["unitCount"],
            row["requestCount"],
            row["percentOfTotal"],
        )
        for row in body["features"]
    ] == [
        ("broadcast", "sms", "twilio", 400, 300, 59.5),
        ("(untracked)", "sms", "twilio", 250, 200, 37.2),
        ("(untracked)", "voice", "twilio", 12.5, 3, 3.3),
        ("ai_sms", "ai", "openai", 2000, 4, 0.1),
        ("=cmd()", "ai", "openai", 10, 1, None),
    ]
    assert body["currentPeriod"]["label"] == "November 2026"
    assert body["features"][-1]["estimatedCostUsd"] is None


def test_features_of_nothing_priced_have_no_share(client: TestClient, bolt: Headers) -> None:
    [row] = client.get(FEATURES, headers=bolt).json()["features"]
    assert (row["estimatedCostCents"], row["percentOfTotal"], row["unpricedUnitCount"]) == (None, None, 77)


def test_features_of_any_days_are_those_of_their_lines(client: TestClient, acme: Headers) -> None:
    body = client.get(FEATURES, params={"from": "2026-10-31", "to": "2026-11-01"}, headers=acme).json()
    assert body["currentPeriod"] == {
        "start": "2026-10-31",
        "end": "2026-11-01",
        "label": "2026-10-31 to 2026-11-01",
    }
    assert [(row["feature"], row["unitCount"], row["estimatedCostUsd"]) for row in body["features"]] == [
        ("broadcast", 1400, "11.06")
    ]


def test_features_of_a_months_days_are_the_months(client: TestClient, acme: Headers) -> None:
    days = client.get(FEATURES, params={"from": "2026-10-01", "to": "2026-10-31"}, headers=acme).json()
    assert days == client.get(FEATURES, params={"period": "2026-10"}, headers=acme).json()


@pytest.mark.parametrize(
    ("parameters", "field"),
    [
        ({"period": "2026-10", "from": "2026-10-01"}, "period"),
        ({"to": "2026-10-01"}, "from"),
        ({"from": "2026-11-02", "to": "2026-11-01"}, "from"),
        ({"from": "yesterday"}, "from"),
    ],
)
def test_bad_days_of_features_are_422(
    client: TestClient, acme: Headers, parameters: dict[str, str], field: str
) -> None:
    answer = client.get(FEATURES, params=parameters, headers=acme)
    assert answer.status_code == 422
    assert field in answer.text
