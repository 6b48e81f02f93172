"""Stripe's webhooks: taken by their signature and within its time, each balance transaction once."""

from __future__ import annotations

import hashlib
import hmac
import json
import time
from decimal import Decimal
from typing import Any

import pytest
from fastapi.testclient import TestClient

from collector.main import create_app
from collector.stripe import is_signed
from tests.sdk.conftest import Base

URL, SECRET = "/webhooks/stripe/events", "whsec_tests"
CREATED = 1_795_176_000  # 2026-11-20T12:00:00Z
STORED = (
    "select event_key, tenant_id, operation, units, external_id, resource_id, metadata ->> 'fee_minor'"
    " from raw.usage_events order by 1"
)


def signature(content: bytes, at: float, secret: str = SECRET) -> str:
    digest = hmac.new(secret.encode(), f"{int(at)}.".encode() + content, hashlib.sha256).hexdigest()
    return f"t={int(at)},v1={digest},v0=x"


def send(client: TestClient, body: Any, *, late: float = 0, secret: str = SECRET) -> Any:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return client.post(
        URL, content=content, headers={"stripe-signature": signature(content, time.time() - late, secret)}
    )


def charge(event_id: str = "evt_1", transaction: Any = "txn_1", kind: str = "charge", **changes: Any) -> dict[str, Any]:
    about = {
        "object": kind,
        "id": "ch_1",
        "created": CREATED,
        "balance_transaction": transaction,
        "metadata": {"tenant_id": "acme"},
        "billing_details": {"email": "jo@example.com"},
    }
    return {"id": event_id, "object": "event", "type": f"{kind}.updated", "data": {"object": about}, **changes}


@pytest.fixture
def stripe(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> TestClient:
    monkeypatch.setenv("STRIPE_WEBHOOK_SECRET", SECRET)
    return TestClient(create_app(), raise_server_exceptions=False)


def test_a_transaction_is_one_use_whichever_events_name_it(stripe: TestClient, base: Base) -> None:
    base.make_marts(cap=100)
    for _ in range(2):
        assert send(stripe, charge("evt_0", None)).status_code == 204
        assert send(stripe, charge("evt_1")).status_code == 204
        assert send(stripe, charge("evt_2")).status_code == 204
        assert send(stripe, charge("evt_3", "txn_2", "refund")).status_code == 204
        assert send(stripe, charge("evt_4", "txn_3", "payout")).status_code == 204
        assert (
            send(
                stripe, {"id": "evt_5", "type": "balance.available", "data": {"object": {"object": "balance"}}}
            ).status_code
            == 204
        )
    assert base.rows(STORED) == [
        ("evt_1:txn_1", "acme", "charge", Decimal(1), "txn_1", None, None),
        ("evt_2:txn_1", "acme", "charge", Decimal(1), "txn_1", None, None),
        ("evt_3:txn_2", "acme", "refund", Decimal(1), "txn_2", None, None),
    ]
    assert base.rows("select sum(units) from ops.live_usage where tenant_id = 'acme'") == [(Decimal(2),)]
    assert base.rows("select count(*) from raw.usage_events where row_to_json(usage_events)::text like '%@%'") == [(0,)]


def test_a_dispute_brings_its_fee(stripe: TestClient, base: Base) -> None:
    dispute = charge("evt_1", kind="dispute")
    transaction = {"object": "balance_transaction", "id": "txn_9", "type": "adjustment", "created": CREATED}
    dispute["data"]["object"]["balance_transactions"] = [
        {**transaction, "fee": 1500, "amount": -2000, "currency": "usd"}
    ]
    assert send(stripe, dispute).status_code == 204
    assert base.rows(STORED) == [("evt_1:txn_9", "acme", "adjustment", Decimal(1), "txn_9", None, "1500")]


def test_without_metadata_it_is_the_account_s_owner_s(stripe: TestClient, base: Base) -> None:
    base.rows(
        "insert into raw.tenant_resources (tenant_id, provider, resource_type, resource_id)"
        " values ('globex', 'stripe', 'account', 'acct_1')"
    )
    for number, account in enumerate(("acct_1", "acct_2")):
        sent = charge(f"evt_{number}", f"txn_{number}", account=account)
        sent["data"]["object"]["metadata"] = {}
        assert send(stripe, sent).status_code == 204
    assert [(tenant, account) for _, tenant, _, _, _, account, _ in base.rows(STORED)] == [
        ("globex", "acct_1"),
        ("unattributed", "acct_2"),
    ]


def test_what_is_not_signed_now_is_not_taken(stripe: TestClient, base: Base) -> None:
    assert send(stripe, charge(), secret="another").status_code == 403
    assert send(stripe, charge(), late=400).status_code == 403
    assert send(stripe, charge(), late=-400).status_code == 403
    assert stripe.post(URL, json=charge()).status_code == 403
    assert base.keys() == []


def test_one_good_signature_is_enough_and_one_time_is_needed() -> None:
    good = signature(b"x", 1000)
    assert is_signed(b"x", f"t=1000,v1=00,{good.partition(',')[2]}", SECRET, 1300)
    for header in (good.replace("v1", "v0"), f"{good},t=1000", good.replace("1000", "1e3"), "t=1000", "t=,v1=", "ü"):
        assert is_signed(b"x", header, SECRET, 1300) is False, header
    assert not is_signed(b"x", good, SECRET, 1301)


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"{", 400),
        (b"[]", 422),
        ({"object": "event"}, 422),
        ({"id": "evt_1"}, 204),
        ({"id": "evt_1", "data": {"object": 3}}, 204),
        (charge(transaction=7), 422),
        (charge(transaction={"object": "charge"}), 422),
        (b"x" * 5_000_000, 413),
    ],
)
def test_unreadable_bodies(stripe: TestClient, base: Base, body: Any, status: int) -> None:
    assert send(stripe, body).status_code == status
    assert base.keys() == []


def test_without_its_secret_nothing_can_be_verified(client: TestClient) -> None:
    answer = send(client, charge())
    assert answer.status_code == 503
    assert "STRIPE_WEBHOOK_SECRET" in answer.json()["detail"]
