"""What a webhook says becomes one event, the same whenever it is told; what was written never gets in."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any

import pytest

from usage_metering import webhooks
from usage_metering.events import InvalidEvent, UsageEvent

NOW = datetime(2026, 11, 20, 10, tzinfo=UTC)


def number(value: object) -> str | None:
    return f"hash of {value}" if value else None


def event(fields: dict[str, Any] | None) -> UsageEvent:
    assert fields is not None
    return UsageEvent.make(now=NOW, **{name: value for name, value in fields.items() if value is not None})


INBOUND = {
    "MessageSid": "SM1",
    "AccountSid": "AC1",
    "From": "+15551112222",
    "To": "+15553334444",
    "Body": "hello",
    "NumMedia": "0",
    "NumSegments": "3",
}


def test_an_inbound_message_is_its_segments() -> None:
    found = event(webhooks.inbound_sms(INBOUND, number))
    assert (found.event_key, found.external_id, found.units) == ("SM1", "SM1", 3)
    assert (found.operation, found.channel, found.direction) == ("inbound", "sms", "inbound")
    assert found.resource_id == "hash of +15553334444"
    assert "hello" not in str(found)
    assert "+15551112222" not in str(found)


def test_an_inbound_mms_is_one() -> None:
    found = event(webhooks.inbound_sms({**INBOUND, "NumMedia": "2"}, number))
    assert (found.operation, found.channel, found.units) == ("mms_inbound", "mms", 1)


def test_at_least_one_segment() -> None:
    assert event(webhooks.inbound_sms({"MessageSid": "SM1", "NumSegments": ""}, number)).units == 1


@pytest.mark.parametrize("status", ["failed", "canceled"])
def test_a_message_that_was_never_sent_says_so(status: str) -> None:
    found = event(webhooks.message_status({"MessageSid": "SM1", "MessageStatus": status, "From": "+1555"}, number))
    assert (found.event_key, found.external_id, found.units) == (f"SM1:{status}", "SM1", 0)
    assert found.metadata["status"] == status


@pytest.mark.parametrize("status", ["queued", "sent", "delivered", "undelivered", "read", ""])
def test_other_message_statuses_say_nothing(status: str) -> None:
    assert webhooks.message_status({"MessageSid": "SM1", "MessageStatus": status}, number) is None


def test_a_failed_mms_is_one() -> None:
    assert event(webhooks.message_status({"MessageSid": "MM1", "MessageStatus": "failed"}, number)).channel == "mms"


CALL = {
    "CallSid": "CA1",
    "CallStatus": "completed",
    "CallDuration": "61",
    "Direction": "outbound-api",
    "From": "+15551112222",
    "To": "+15553334444",
    "Timestamp": "Sun, 01 Nov 2026 00:00:30 +0000",
}


def test_a_call_is_its_begun_minutes_on_the_day_it_started() -> None:
    found = event(webhooks.call_status(CALL, number))
    assert (found.event_key, found.external_id, found.units) == ("CA1:completed", "CA1", 2)
    assert found.occurred_at == datetime(2026, 10, 31, 23, 59, 29, tzinfo=UTC)
    assert (found.operation, found.resource_id) == ("outbound", "hash of +15551112222")
    inbound = event(webhooks.call_status({**CALL, "Direction": "inbound"}, number))
    assert (inbound.operation, inbound.direction, inbound.resource_id) == ("inbound", "inbound", "hash of +15553334444")


@pytest.mark.parametrize(("seconds", "minutes"), [("1", 1), ("60", 1), ("61", 2), ("3600", 60)])
def test_minutes_are_begun_ones(seconds: str, minutes: int) -> None:
    assert event(webhooks.call_status({**CALL, "CallDuration": seconds}, number)).units == minutes


@pytest.mark.parametrize("change", [{"CallStatus": "busy"}, {"CallStatus": "ringing"}, {"CallDuration": "0"}])
def test_a_call_without_minutes_is_none(change: dict[str, str]) -> None:
    assert webhooks.call_status({**CALL, **change}, number) is None


def test_told_twice_is_the_same() -> None:
    for fields in (webhooks.inbound_sms(INBOUND, number), webhooks.call_status(CALL, number)):
        assert event(fields).payload_hash == event(fields).payload_hash


def test_a_number_comes_and_goes_once_a_day() -> None:
    provisioned = event(webhooks.phone_number("h", "local", "provisioned", date(2026, 11, 20)))
    released = event(webhooks.phone_number("h", "local", "released", date(2026, 11, 20)))
    assert (provisioned.event_key, provisioned.units, provisioned.channel) == (
        "phone:h:provisioned:2026-11-20",
        1,
        "phone",
    )
    assert (released.event_key, released.units) == ("phone:h:released:2026-11-20", 0)
    # What dbt calls the number's day of Twilio's list.
    assert provisioned.external_id == released.external_id == "phone:h:2026-11-20"
    with pytest.raises(InvalidEvent, match="lost"):
        webhooks.phone_number("h", "local", "lost", date(2026, 11, 20))


def test_a_stripe_transaction_keeps_its_fee() -> None:
    transaction = {
        "id": "txn_1",
        "type": "charge",
        "reporting_category": "charge",
        "amount": 5000,
        "fee": 175,
        "currency": "usd",
        "created": 1_795_000_000,
    }
    found = event(webhooks.stripe_fee(transaction, "acct_1"))
    assert (found.event_key, found.channel, found.units, found.resource_id) == ("txn_1", "payments", 1, "acct_1")
    assert found.metadata["fee_minor"] == 175
    fee = {**transaction, "type": "stripe_fee", "reporting_category": "fee"}
    assert event(webhooks.stripe_fee(fee, None)).operation == "stripe_fee"
    assert found.occurred_at == datetime.fromtimestamp(1_795_000_000, UTC)


def test_places_and_r2() -> None:
    assert event(webhooks.places("place_details_pro", 3, None, "OK")).units == 3
    assert event(webhooks.r2("PutObject", 5, "bucket")).operation == "class_a"
    assert event(webhooks.r2("GetObject", 5, "bucket")).operation == "class_b"
    # R2 lists them among its operations: what we count is what it counts.
    assert event(webhooks.r2("DeleteObject", 5, "bucket")).operation == "free"
    with pytest.raises(InvalidEvent):
        webhooks.r2("Guess", 1, None)


@pytest.mark.parametrize(
    ("status", "is_billed"),
    [
        (None, True), ("", True), (200, True), ("204", True), ("OK", True), ("ZERO_RESULTS", True),
        (400, False), ("404", False), (500, False), ("PERMISSION_DENIED", False), ("over_query_limit", False),
    ],
)  # fmt: skip
def test_a_request_to_places_that_failed_is_no_use(status: str | int | None, is_billed: bool) -> None:
    assert (webhooks.places("place_details_pro", 1, None, status) is not None) is is_billed


@pytest.mark.parametrize("given", [webhooks.inbound_sms, webhooks.message_status, webhooks.call_status])
def test_without_an_id_it_is_refused(given: Any) -> None:
    with pytest.raises(InvalidEvent, match="Sid is missing"):
        given({}, number)
