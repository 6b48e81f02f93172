"""Twilio's callbacks are taken by its signature, once, and for the tenant of the signed address or the number."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from fastapi.testclient import TestClient
from twilio.request_validator import RequestValidator

from collector.main import create_app
from collector.webhooks import is_signed
from tests.sdk.conftest import Base
from usage_metering.redact import Redactor

TOKEN, PUBLIC = "an auth token", "https://collect.example.com"
INBOUND = {
    "MessageSid": "SM" + "1" * 32,
    "To": "+12065550100",
    "From": "+19015550137",
    "NumSegments": "2",
    "Body": "Grüß Gott",
}


@pytest.fixture
def twilio(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> TestClient:
    monkeypatch.setenv("TWILIO_AUTH_TOKEN", TOKEN)
    monkeypatch.setenv("METERING_COLLECTOR_PUBLIC_URL", PUBLIC)
    return TestClient(create_app(), raise_server_exceptions=False)


def send(client: TestClient, path: str, form: dict[str, Any], *, signed_as: dict[str, Any] | None = None) -> int:
    address = f"/webhooks/twilio/{path}"
    signature = RequestValidator(TOKEN).compute_signature(
        f"{PUBLIC}{address}", form if signed_as is None else signed_as
    )
    return client.post(address, data=form, headers={"x-twilio-signature": signature}).status_code


STORED = "select event_key, tenant_id, operation, units from raw.usage_events order by 1"


def test_callbacks_are_recorded_once(twilio: TestClient, base: Base) -> None:
    call = {"CallSid": "CA" + "2" * 32, "CallStatus": "completed", "CallDuration": "61", "Direction": "outbound-api"}
    recording = {"RecordingSid": "RE" + "3" * 32, "RecordingStatus": "completed", "RecordingDuration": "125"}
    failed = {"MessageSid": "SM" + "4" * 32, "MessageStatus": "failed"}
    for _ in range(2):
        assert send(twilio, "messages/inbound?tenant=acme", INBOUND) == 200
        assert send(twilio, "calls/status?tenant=acme", call) == 204
        assert send(twilio, "recordings/status?tenant=acme", recording) == 204
        assert send(twilio, "messages/status?tenant=acme", failed) == 204
        assert send(twilio, "messages/status?tenant=acme", {**failed, "MessageStatus": "sent"}) == 204
    assert base.rows(STORED) == [
        (f"CA{'2' * 32}:completed", "acme", "outbound", Decimal(2)),
        ("RE" + "3" * 32, "acme", "recording", Decimal(3)),
        ("SM" + "1" * 32, "acme", "inbound", Decimal(2)),
        (f"SM{'4' * 32}:failed", "acme", "outbound", Decimal(0)),
    ]


def test_without_a_tenant_it_is_the_number_s_owner_s(twilio: TestClient, base: Base) -> None:
    base.rows(
        "insert into raw.tenant_resources (tenant_id, provider, resource_type, resource_id, resource_hash)"
        " values ('globex', 'twilio', 'phone_number', '+12065550100', %s)",
        Redactor("a key for tests").number(INBOUND["To"]),
    )
    assert send(twilio, "messages/inbound", INBOUND) == 200
    assert send(twilio, "messages/inbound", {**INBOUND, "MessageSid": "SM" + "5" * 32, "To": "+12065550199"}) == 200
    assert base.rows("select tenant_id from raw.usage_events order by event_key") == [("globex",), ("unattributed",)]


def test_what_is_not_signed_is_not_taken(twilio: TestClient, base: Base) -> None:
    assert send(twilio, "messages/inbound", INBOUND, signed_as={**INBOUND, "NumSegments": "1"}) == 403
    address = "/webhooks/twilio/messages/inbound"
    signature = RequestValidator(TOKEN).compute_signature(f"{PUBLIC}{address}?tenant=acme", INBOUND)
    for headers in ({"x-twilio-signature": signature}, {"x-twilio-signature": "ü"}, {}):
        raw = {name: value.encode("latin-1") for name, value in headers.items()}
        assert twilio.post(f"{address}?tenant=globex", data=INBOUND, headers=raw).status_code == 403
    assert base.keys() == []


def test_a_callback_without_an_id_is_refused(twilio: TestClient, base: Base) -> None:
    assert send(twilio, "messages/inbound", {"Body": "x"}) == 422
    assert base.keys() == []


def test_without_a_token_or_an_address_nothing_can_be_verified(client: TestClient) -> None:
    answer = client.post("/webhooks/twilio/messages/status", data=INBOUND)
    assert answer.status_code == 503
    assert "METERING_COLLECTOR_PUBLIC_URL" in answer.json()["detail"]


class Form(dict[str, list[str]]):
    """As web frameworks hand it to Twilio's validator."""

    def getlist(self, name: str) -> list[str]:
        return self[name]


@pytest.mark.parametrize("form", [{}, {"a": ["1"]}, {"b": ["2"], "a": [""]}, {"a": ["2", "1", "2"], "A": ["x"]}])
def test_the_signature_is_the_one_of_twilio_s_own_client(form: dict[str, list[str]]) -> None:
    url = f"{PUBLIC}/x?tenant=a%20b"
    signature = RequestValidator(TOKEN).compute_signature(url, Form(form))
    assert is_signed(url, form, signature, TOKEN)
    assert not is_signed(url, form, signature, "another token")
