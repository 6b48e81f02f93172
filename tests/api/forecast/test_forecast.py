"""`/api/billing/usage/forecast`: this month's cost and caps, of the newest forecast, for the tenant alone."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest
from fastapi.testclient import TestClient

from tests.api.conftest import AppStarter, Headers, execute
from warehouse.urls import as_role

FORECAST = "/api/billing/usage/forecast"


def forecast(client: TestClient, headers: Headers, **parameters: Any) -> dict[str, Any]:
    answer = client.get(FORECAST, params=parameters, headers=headers)
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json()
    return body


def test_anonymous_another_tenant_and_a_root_admin_without_one(
    client: TestClient, acme: Headers, root: Headers
) -> None:
    assert client.get(FORECAST).status_code == 401
    assert client.get(FORECAST, params={"tenantId": "bolt"}, headers=acme).status_code == 404
    assert client.get(FORECAST, headers=root).status_code == 422
    assert client.get(FORECAST, params={"tenantId": "nobody"}, headers=root).status_code == 404


def test_a_root_admin_reads_any_tenant(client: TestClient, bolt: Headers, root: Headers) -> None:
    assert forecast(client, root, tenantId="bolt") == forecast(client, bolt)


def test_the_body(client: TestClient, acme: Headers) -> None:
    body = forecast(client, acme)
    caps = body.pop("caps")
    assert body == {
        "dataAsOf": "2026-11-20T11:45:00Z",
        "tenantId": "acme",
        "tenantName": "Acme Homes",
        "currentPeriod": {"start": "2026-11-01", "end": "2026-11-30", "label": "November 2026"},
        "forecastDate": "2026-11-20",
        "daysRemaining": 10,
        "intervalPercent": 80,
        "historyDays": 36,
        "cost": {
            "usedCostCents": 532,
            "usedCostUsd": "5.315",
            "projectedCostCents": 811,
            "projectedCostUsd": "8.105263157894736842",
            "expectedCostCents": 800,
            "expectedCostUsd": "8.0025",
            "lowCostCents": 700,
            "lowCostUsd": "7.00125",
            "highCostCents": 905,
            "highCostUsd": "9.05",
            "unpricedUnitCount": 10,
            "unpricedUnits": [],
        },
    }
    assert [(cap["channel"], cap["metric"], cap["outlook"]) for cap in caps] == [
        ("sms", "cost_cents", "likely"),
        ("sms", "units", "likely"),
        ("email", "requests", "no_cap"),
        ("ai", "cost_cents", "unlikely"),
    ]
    assert caps[1] == {
        "channel": "sms",
        "unit": "segments",
        "metric": "units",
        "direction": "any",
        "used": 650,
        "cap": 1000,
        "expected": 980,
        "low": 860,
        "high": 1120,
        "outlook": "likely",
        "reachedPercent": 62.0,
        "earliestDate": "2026-11-26",
        "likelyDate": "2026-11-29",
        "latestDate": None,
    }


def test_a_reached_cap_an_unpriced_cost_and_too_little_history(client: TestClient, root: Headers) -> None:
    bolt = forecast(client, root, tenantId="bolt")
    assert bolt["cost"]["usedCostUsd"] is None
    assert (bolt["cost"]["expectedCostCents"], bolt["cost"]["unpricedUnitCount"]) == (None, 77)
    [cap] = bolt["caps"]
    assert (cap["outlook"], cap["likelyDate"], cap["reachedPercent"]) == ("reached", "2026-11-12", 100.0)
    [sms, mms] = forecast(client, root, tenantId="dune")["caps"]
    assert (sms["outlook"], sms["expected"]) == ("unknown", None)
    assert (mms["outlook"], mms["reachedPercent"]) == ("unlikely", 4.0)


def test_without_a_forecast_the_projection_stands_alone(client: TestClient, root: Headers) -> None:
    body = forecast(client, root, tenantId="elm")
    assert (body["forecastDate"], body["historyDays"], body["caps"]) == (None, 0, [])
    assert (body["cost"]["projectedCostCents"], body["cost"]["expectedCostCents"]) == (0, None)


def test_the_forecast_of_the_day_that_is_asked_from(start_app: AppStarter, seeded: str, acme: Headers) -> None:
    with start_app(seeded, METERING_AS_OF="2026-11-19T12:00:00Z") as client:
        assert forecast(client, acme)["cost"]["expectedCostUsd"] == "0.01"
    # A forecast of last month says nothing about this one.
    with start_app(seeded, METERING_AS_OF="2026-11-01T12:00:00Z") as client:
        assert forecast(client, acme)["caps"] == []


def test_the_tag_follows_the_forecast_not_the_build(start_app: AppStarter, own_database: str, acme: Headers) -> None:
    with start_app(own_database) as client:
        known = client.get(FORECAST, headers=acme).headers["etag"]
        assert client.get(FORECAST, headers={**acme, "If-None-Match": known}).status_code == 304
        execute(own_database, "update ops.usage_forecasts set high = 999 where tenant_id = 'acme' and channel = 'sms'")
        assert client.get(FORECAST, headers={**acme, "If-None-Match": known}).status_code == 200


@pytest.mark.parametrize(
    ("tenant", "role", "seen"),
    [("acme", "tenant_admin", {"acme"}), ("", "", set()), ("", "root_admin", {"acme", "bolt", "dune"})],
)
def test_the_view_shows_a_tenant_itself_and_the_owner_all(seeded: str, tenant: str, role: str, seen: set[str]) -> None:
    with psycopg.connect(as_role(seeded, "metering_api")) as connection:
        connection.execute("select set_config('metering.tenant_id', %s, true)", (tenant,))
        connection.execute("select set_config('metering.role', %s, true)", (role,))
        found = connection.execute("select distinct tenant_id from ops.tenant_forecasts").fetchall()
        assert {row[0] for row in found} == seen
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute("select 1 from ops.usage_forecasts")
