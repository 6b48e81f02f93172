"""SendGrid's Event Webhook: taken by its signature, an email once, for the tenant of its arguments or of its category."""

from __future__ import annotations

import base64
import json
from decimal import Decimal
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from fastapi.testclient import TestClient

from collector.main import create_app
from collector.settings import SettingsError
from tests.collector.conftest import event
from tests.sdk.conftest import Base

URL = "/webhooks/sendgrid/events"
KEY = ec.generate_private_key(ec.SECP256R1())
PUBLIC = base64.b64encode(KEY.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).decode()
STORED = "select event_key, tenant_id, units, external_id, resource_id, feature from raw.usage_events order by 1"
NOON = 1_795_176_000  # 2026-11-20T12:00:00Z


def mail(number: int, status: str = "delivered", **changes: Any) -> dict[str, Any]:
    return {
        "email": "jo@example.com",
        "timestamp": NOON,
        "event": status,
        "sg_event_id": f"{status}-{number}",
        "sg_message_id": f"14c5d75ce93.dfd.64b469.filter0001.16648.5515E0B88.{number}",
        **changes,
    }


def send(client: TestClient, body: Any, *, signed: bytes | None = None, key: Any = KEY) -> Any:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    signature = key.sign(b"1600112502" + (content if signed is None else signed), ec.ECDSA(hashes.SHA256()))
    headers = {
        "x-twilio-email-event-webhook-timestamp": "1600112502",
        "x-twilio-email-event-webhook-signature": base64.b64encode(signature).decode(),
    }
    return client.post(URL, content=content, headers=headers)


@pytest.fixture
def sendgrid(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> TestClient:
    monkeypatch.setenv("SENDGRID_WEBHOOK_PUBLIC_KEY", PUBLIC)
    return TestClient(create_app(), raise_server_exceptions=False)


def test_an_email_is_one_use_however_many_events_arrive(sendgrid: TestClient, base: Base) -> None:
    base.make_marts(cap=100)
    events = [
        mail(1, "processed", tenant_id="acme", feature="reports"),
        mail(1, "delivered", tenant_id="acme", feature="reports"),
        mail(1, "open", tenant_id="acme"),
        mail(2, "bounce", tenant_id="acme"),
        mail(2, "bounce", tenant_id="acme"),
    ]
    for _ in range(2):
        assert send(sendgrid, events).status_code == 204
    ids = [events[0]["sg_message_id"], events[3]["sg_message_id"]]
    assert base.rows(STORED) == [
        ("bounce-2", "acme", Decimal(1), ids[1], None, None),
        ("delivered-1", "acme", Decimal(1), ids[0], None, "reports"),
        ("processed-1", "acme", Decimal(1), ids[0], None, "reports"),
    ]
    assert base.rows("select sum(units) from ops.live_usage where tenant_id = 'acme'") == [(Decimal(2),)]
    assert base.rows("select count(*) from raw.usage_events where row_to_json(usage_events)::text like '%@%'") == [(0,)]


def test_without_an_argument_it_is_the_category_s_owner_s(sendgrid: TestClient, base: Base) -> None:
    base.rows(
        "insert into raw.tenant_resources (tenant_id, provider, resource_type, resource_id)"
        " values ('globex', 'sendgrid', 'category', 'globex-mail')"
    )
    mails = [mail(1, category=["news", "globex-mail"]), mail(2, category="news"), mail(3, category="globex-mail")]
    assert send(sendgrid, mails).status_code == 204
    assert [(tenant, resource) for _, tenant, _, _, resource, _ in base.rows(STORED)] == [
        ("globex", "category:globex-mail"),
        ("unattributed", None),
        ("globex", "category:globex-mail"),
    ]


def test_what_the_wrapped_client_told_is_left_to_it(client: TestClient, sendgrid: TestClient, base: Base) -> None:
    recorded = event(type="sendgrid.send", data={"units": 2, "external_id": "14c5d75ce93.dfd.64b469"})
    assert client.post("/api/v1/events", json=recorded).status_code == 200
    assert send(sendgrid, [mail(1), mail(2)]).status_code == 204
    assert base.keys() == ["sendgrid:acme:/shop export-1"]


def test_what_is_not_signed_is_not_taken(sendgrid: TestClient, base: Base) -> None:
    body = json.dumps([mail(1)]).encode()
    assert send(sendgrid, body, signed=body + b" ").status_code == 403
    assert send(sendgrid, body, key=ec.generate_private_key(ec.SECP256R1())).status_code == 403
    for signature in ("", "%%%", "MEUCIQ==", "ü".encode("latin-1")):
        headers = {"x-twilio-email-event-webhook-signature": signature, "x-twilio-email-event-webhook-timestamp": "1"}
        assert sendgrid.post(URL, content=body, headers=headers).status_code == 403  # type: ignore[arg-type]
    assert base.keys() == []


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"{", 400),
        (b"{}", 400),
        (b"[" * 5_000, 400),
        (b"[]", 204),
        (b"x" * 5_000_000, 413),
        ([mail(1, sg_event_id="")], 422),
        ([mail(1, sg_message_id=None)], 422),
        ([mail(1, timestamp="now")], 422),
        ([mail(1, timestamp=True)], 422),
        ([1], 422),
        ([mail(1, tenant_id="x" * 501)], 422),
    ],
)
def test_unreadable_bodies(sendgrid: TestClient, base: Base, body: Any, status: int) -> None:
    assert send(sendgrid, body).status_code == status
    assert base.keys() == []


def test_the_readable_events_of_a_body_are_recorded(sendgrid: TestClient, base: Base) -> None:
    refused = send(sendgrid, [mail(1), mail(2, sg_event_id=None), mail(3)])
    assert (refused.status_code, "[1]: sg_event_id is missing" in refused.text) == (422, True)
    assert base.keys() == ["delivered-1", "delivered-3"]


def test_without_its_key_nothing_can_be_verified(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    answer = send(client, [mail(1)])
    assert answer.status_code == 503
    assert "SENDGRID_WEBHOOK_PUBLIC_KEY" in answer.json()["detail"]
    monkeypatch.setenv("SENDGRID_WEBHOOK_PUBLIC_KEY", "no key")
    with pytest.raises(SettingsError, match="SENDGRID_WEBHOOK_PUBLIC_KEY must be the verification key"):
        create_app()
