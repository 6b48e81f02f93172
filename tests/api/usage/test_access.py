"""`/api/billing/usage/channels/{channel}/access`."""

from __future__ import annotations

from typing import Any

import pytest
from fastapi.testclient import TestClient

from costs.rules.services import CHANNELS
from tests.api.conftest import AppStarter, Headers

SENTENCE = "Usage cap reached for this channel. Please contact support or update your plan."


def route(channel: str) -> str:
    return f"/api/billing/usage/channels/{channel}/access"


def access(client: TestClient, headers: Headers, channel: str, **parameters: Any) -> dict[str, Any]:
    answer = client.get(route(channel), params=parameters, headers=headers)
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json()
    return body


def test_anonymous_is_401_and_another_tenant_404(client: TestClient, acme: Headers) -> None:
    assert client.get(route("sms")).status_code == 401
    assert client.get(route("sms"), params={"tenantId": "bolt"}, headers=acme).status_code == 404


@pytest.mark.parametrize("channel", ["fax", "SMS", "sms%20", "%27", "a%2Fb"])
def test_an_unknown_channel_is_404(client: TestClient, acme: Headers, channel: str) -> None:
    assert client.get(route(channel), headers=acme).status_code == 404


@pytest.mark.parametrize("channel", CHANNELS)
def test_every_channel_may_be_asked_about(client: TestClient, acme: Headers, channel: str) -> None:
    body = access(client, acme, channel, units=1)
    assert (body["channel"], body["allowed"], body["units"]) == (channel, True, 1)


def test_below_the_cap_it_is_allowed(client: TestClient, acme: Headers) -> None:
    assert access(client, acme, "sms", units=2) == {
        "dataAsOf": "2026-11-20T11:45:00Z",
        "tenantId": "acme",
        "channel": "sms",
        "units": 2,
        "allowed": True,
        "status": "warning",
        "used": 474,
        "reserved": 0,
        "cap": 500,
        "reason": None,
    }


def test_every_limit_counts(client: TestClient, acme: Headers) -> None:
    # 26 cents are left at 0.7 cents a segment: 37 fit, though 350 units would.
    assert access(client, acme, "sms", units=37)["allowed"] is True
    blocked = access(client, acme, "sms", units=38)
    assert (blocked["allowed"], blocked["reason"], blocked["cap"]) == (False, SENTENCE, 500)


def test_without_hard_stop_it_is_always_allowed(client: TestClient, bolt: Headers) -> None:
    body = access(client, bolt, "sms", units=1000)
    assert (body["allowed"], body["status"], body["used"], body["reason"]) == (True, "over_cap", 501, None)


def test_a_channel_without_a_limit_is_allowed(client: TestClient, acme: Headers) -> None:
    body = access(client, acme, "voice")
    assert (body["allowed"], body["cap"], body["used"], body["units"]) == (True, None, 0, 1)


def test_a_new_month_starts_from_nothing(seeded: str, start_app: AppStarter, acme: Headers) -> None:
    with start_app(seeded, METERING_AS_OF="2026-12-01") as client:
        body = access(client, acme, "sms", units=38)
    assert (body["allowed"], body["status"], body["used"]) == (True, "ok", 0)


@pytest.mark.parametrize("units", ["0", "-1", "x", "", "NaN", "Infinity", "1e16"])
def test_bad_units_are_422(client: TestClient, acme: Headers, units: str) -> None:
    answer = client.get(route("sms"), params={"units": units}, headers=acme)
    assert answer.status_code == 422
    assert [error["field"] for error in answer.json()["errors"]] == ["units"]


def test_parts_of_a_unit_may_be_asked_for(client: TestClient, acme: Headers) -> None:
    assert access(client, acme, "voice", units="0.5")["units"] == 0.5
