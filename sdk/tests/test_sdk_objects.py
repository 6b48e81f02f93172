"""The helpers take what the providers' SDKs hand out, not only mappings."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from http import HTTPStatus
from types import SimpleNamespace
from typing import Any

import pytest
from twilio.rest.api.v2010.account.call import CallInstance
from twilio.rest.api.v2010.account.message import MessageInstance

from usage_metering import webhooks
from usage_metering.events import InvalidEvent
from usage_metering.sdk_objects import field_mask, phone_number


class StripeObject:
    """As stripe 16 has it: no mapping, attributes of its own, `to_dict()`; iterating over it raises."""

    def __init__(self, values: dict[str, Any]) -> None:
        self.__dict__["_values"] = values

    def __getattr__(self, name: str) -> Any:
        try:
            return self.__dict__["_values"][name]
        except KeyError:
            raise AttributeError(name) from None

    def __getitem__(self, name: str) -> Any:
        return self.__dict__["_values"][name]

    def __iter__(self) -> Any:
        raise TypeError("not iterable or a mapping; call .to_dict() for a plain dict")

    def to_dict(self) -> dict[str, Any]:
        return {
            name: value.to_dict() if isinstance(value, StripeObject) else value for name, value in self._values.items()
        }


TRANSACTION = {
    "id": "txn_1",
    "object": "balance_transaction",
    "type": "charge",
    "amount": 5000,
    "fee": 175,
    "net": 4825,
    "currency": "usd",
    "created": 1_795_000_000,
}
CHARGE = {"id": "ch_1", "object": "charge", "amount": 5000}


@pytest.mark.parametrize(
    "given",
    [
        TRANSACTION,
        StripeObject(TRANSACTION),
        StripeObject({**CHARGE, "balance_transaction": StripeObject(TRANSACTION)}),
        {**CHARGE, "balance_transaction": TRANSACTION},
    ],
)
def test_a_transaction_of_the_stripe_sdk_is_that_transaction(given: Any) -> None:
    assert webhooks.stripe_fee(given, "acct_1") == webhooks.stripe_fee(TRANSACTION, "acct_1")
    assert webhooks.stripe_fee(given, "acct_1")["external_id"] == "txn_1"
    assert webhooks.stripe_fee(given, StripeObject({"id": "acct_1"}))["resource_id"] == "acct_1"


@pytest.mark.parametrize(
    ("given", "why"),
    [
        (StripeObject(CHARGE), "a Stripe charge: pass its expanded balance_transaction"),
        ({**CHARGE, "balance_transaction": "txn_1"}, "a Stripe charge"),
        ({"id": "evt_1", "object": "event", "type": "charge.updated"}, "a Stripe event"),
        (None, "not NoneType"),
        ("txn_1", "not str"),
    ],
)
def test_what_is_no_transaction_is_refused_in_one_line(given: Any, why: str) -> None:
    with pytest.raises(InvalidEvent, match=why):
        webhooks.stripe_fee(given, None)


def number(value: object) -> str | None:
    return f"hash of {value}" if value else None


def message(**changes: Any) -> MessageInstance:
    payload = {
        "sid": "SM1",
        "account_sid": "AC1",
        "from": "+15551112222",
        "to": "+15553334444",
        "num_segments": "3",
        "num_media": "0",
        "status": "received",
        "direction": "inbound",
        "error_code": None,
        **changes,
    }
    return MessageInstance(None, payload, "AC1")  # type: ignore[arg-type]  # no request is made


def call(**changes: Any) -> CallInstance:
    payload = {
        "sid": "CA1",
        "account_sid": "AC1",
        "from": "+15551112222",
        "to": "+15553334444",
        "status": "completed",
        "duration": "61",
        "direction": "outbound-api",
        "start_time": "Fri, 20 Nov 2026 10:00:00 +0000",
        "end_time": "Fri, 20 Nov 2026 10:01:01 +0000",
        **changes,
    }
    return CallInstance(None, payload, "AC1")  # type: ignore[arg-type]


def test_twilios_instances_say_what_its_webhooks_say() -> None:
    form: dict[str, Any] = {"MessageSid": "SM1", "AccountSid": "AC1", "From": "+15551112222", "To": "+15553334444"}
    inbound = {**form, "NumSegments": "3", "NumMedia": "0"}
    assert webhooks.inbound_sms(message(), number) == webhooks.inbound_sms(inbound, number)
    assert webhooks.inbound_sms({key: [value] for key, value in inbound.items()}, number) == webhooks.inbound_sms(
        inbound, number
    )
    failed = {**form, "MessageStatus": "failed", "ErrorCode": 30003}
    instance = message(status="failed", error_code=30003, direction="outbound-api")
    assert webhooks.message_status(instance, number) == webhooks.message_status(failed, number) is not None

    completed = webhooks.call_status(call(), number)
    assert completed is not None
    assert (completed["units"], completed["external_id"]) == (2, "CA1")
    assert completed["resource_id"] == "hash of +15551112222"
    assert completed["occurred_at"] == datetime(2026, 11, 20, 10, tzinfo=UTC)


@pytest.mark.parametrize(
    ("helper", "given"),
    [
        (webhooks.call_status, message()),
        (webhooks.message_status, call()),
        (webhooks.inbound_sms, call()),
        (webhooks.inbound_sms, None),
        (webhooks.call_status, "CA1"),
    ],
)
def test_another_kind_is_refused(helper: Callable[..., Any], given: Any) -> None:
    with pytest.raises(InvalidEvent, match=r"expected a Twilio|pass the parameters|pass its|pass a Stripe"):
        helper(given, number)


def test_google_and_twilio_numbers() -> None:
    assert phone_number(SimpleNamespace(phone_number="+12065550100")) == phone_number("+12065550100")
    assert field_mask(SimpleNamespace(paths=["places.id", "places.rating"])) == ["places.id", "places.rating"]
    grpc_not_found = SimpleNamespace(name="NOT_FOUND", value=(5, "not found"))
    assert webhooks.places("place_photo", 1, None, grpc_not_found) is None
    assert webhooks.places("place_photo", 1, None, HTTPStatus.NOT_FOUND) is None
    fields = webhooks.places("place_photo", 1, None, HTTPStatus.OK)
    assert fields is not None
    assert fields["metadata"] == {"status": 200}
