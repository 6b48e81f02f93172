"""What an event is, what is none, and when two say the same."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest

from usage_metering.events import InvalidEvent, UsageEvent, plain, scoped_key

NOW = datetime(2026, 11, 20, 10, tzinfo=UTC)


def make(**fields: Any) -> UsageEvent:
    return UsageEvent.make(**{"service": "twilio_sms", "now": NOW, **fields})


@pytest.mark.parametrize(
    ("fields", "operation", "channel", "direction", "source"),
    [
        ({"service": "twilio_sms"}, "outbound", "sms", "outbound", "twilio"),
        ({"service": "twilio_sms", "operation": "mms_inbound"}, "mms_inbound", "mms", "inbound", "twilio"),
        ({"service": "twilio_sms", "channel": "mms"}, "mms_outbound", "mms", "outbound", "twilio"),
        ({"service": "twilio_sms", "direction": "inbound"}, "inbound", "sms", "inbound", "twilio"),
        ({"service": "twilio_voice"}, "outbound", "voice", "outbound", "twilio"),
        ({"service": "twilio_voice", "channel": "recording"}, "recording", "recording", "none", "twilio"),
        ({"service": "openai"}, "chat_completion", "ai", "outbound", "openai"),
        ({"service": "sendgrid"}, "send", "email", "outbound", "sendgrid"),
        ({"service": "stripe"}, "", "payments", "none", "stripe"),
        ({"service": "google_places", "operation": "details"}, "details", "places", "none", "google_places"),
        ({"service": "cloudflare_r2", "operation": "class_a"}, "class_a", "storage_ops", "none", "cloudflare_r2"),
        ({"service": "cloudflare_r2", "operation": "storage"}, "storage", "storage", "none", "cloudflare_r2"),
        ({"service": "internal", "operation": "export"}, "export", "internal", "none", "internal"),
    ],
)
def test_the_taxonomy_fills_in(
    fields: dict[str, Any], operation: str, channel: str, direction: str, source: str
) -> None:
    event = make(**fields)
    assert (event.operation, event.channel, event.direction, event.source) == (operation, channel, direction, source)
    assert event.tenant_id == "unattributed"


def test_the_key_is_the_providers_else_the_callers_else_made() -> None:
    assert make(external_id="SM1", idempotency_key="x").event_key == "SM1"
    assert make(tenant_id="acme", idempotency_key="x").event_key == "twilio_sms:acme:x"
    assert make().event_key != make().event_key
    ended = make(event_key="CA1:completed", external_id="CA1")
    assert (ended.event_key, ended.record_key) == ("CA1:completed", "CA1")


def test_ai_units_are_tokens() -> None:
    event = make(service="openai", input_tokens=100, cached_input_tokens=40, output_tokens=7)
    assert event.units == 107


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"service": "smoke_signals"}, "service"),
        ({"channel": "voice"}, "channel"),
        ({"direction": "up"}, "direction"),
        ({"units": -1}, "units"),
        ({"units": "many"}, "units"),
        ({"units": float("nan")}, "units"),
        ({"units": True}, "units"),
        ({"units": None}, "units"),
        ({"units": 10**20}, "units"),
        ({"input_tokens": 1.5}, "input_tokens"),
        ({"output_tokens": 2**63}, "output_tokens"),
        ({"input_tokens": 1, "cached_input_tokens": 2}, "cached_input_tokens"),
        ({"input_tokens": 2, "cached_input_tokens": 1, "cache_write_tokens": 2}, "cache_write_tokens"),
        (
            {"input_tokens": 3, "cached_input_tokens": 1, "cache_write_tokens": 1, "cache_write_1h_tokens": 2},
            "cache_write_1h_tokens",
        ),
        ({"feature": 3}, "feature"),
        ({"external_id": "x" * 501}, "external_id"),
        ({"occurred_at": "yesterday"}, "occurred_at"),
        ({"occurred_at": "0001-01-01T00:00:00Z"}, "occurred_at"),
        ({"occurred_at": 5}, "occurred_at"),
        ({"metadata": {"a": object()}}, "metadata"),
        ({"metadata": {"a": float("inf")}}, "metadata"),
        ({"metadata": {"a": "x" * 40_000}}, "metadata"),
        ({"colour": "red"}, "colour"),
    ],
)
def test_what_is_no_event_is_named(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidEvent, match=message):
        make(**fields)


@pytest.mark.parametrize("personal", ["+19015550137", "19015550137", "sam@example.com", "Sam: 901 555 0137", "x" * 400])
@pytest.mark.parametrize("name", ["service", "channel", "direction"])
def test_a_refusal_names_nobody(name: str, personal: str) -> None:
    with pytest.raises(InvalidEvent) as refused:
        make(**{name: personal})
    assert name in str(refused.value)
    assert personal not in str(refused.value)
    with pytest.raises(InvalidEvent) as refused:
        make(**{personal: 1})
    assert personal not in str(refused.value)


def test_times_become_utc() -> None:
    zone = timezone(timedelta(hours=-5))
    assert make(occurred_at=datetime(2026, 11, 1, 23, tzinfo=zone)).occurred_at == datetime(2026, 11, 2, 4, tzinfo=UTC)
    assert make(occurred_at="2026-11-01T23:00:00-05:00").occurred_at.utcoffset() == timedelta()
    assert make(occurred_at=datetime(2026, 11, 1)).occurred_at == datetime(2026, 11, 1, tzinfo=UTC)  # noqa: DTZ001
    assert make().occurred_at == NOW


def test_a_time_counts_only_where_it_was_said() -> None:
    later = NOW + timedelta(hours=1)
    assert make(external_id="a").payload_hash == make(external_id="a", now=later).payload_hash
    assert make(external_id="a", occurred_at=NOW).payload_hash != make(external_id="a", occurred_at=later).payload_hash


@pytest.mark.parametrize("same", [1, "1", "1.0", 1.0, Decimal("1e0"), Decimal("1.000")])
def test_one_quantity_has_one_spelling(same: Any) -> None:
    assert make(external_id="a", units=same).payload_hash == make(external_id="a", units=1).payload_hash


@pytest.mark.parametrize(
    "fields", [{"units": 2}, {"tenant_id": "acme"}, {"feature": "x"}, {"metadata": {"a": 1}}, {"model": "m"}]
)
def test_another_word_is_another_payload(fields: dict[str, Any]) -> None:
    assert make(external_id="a", **fields).payload_hash != make(external_id="a").payload_hash


@pytest.mark.parametrize(("number", "text"), [("1E+3", "1000"), ("0.10", "0.1"), ("0", "0"), ("100", "100")])
def test_plain(number: str, text: str) -> None:
    assert plain(Decimal(number)) == text


@pytest.mark.parametrize("occurred_at", [None, "2026-11-01T12:00:00Z"])
def test_a_cloudevent_reads_back_as_the_same_event(occurred_at: str | None) -> None:
    event = make(
        tenant_id="acme",
        external_id="SM1",
        units="2.5",
        feature="broadcast",
        occurred_at=occurred_at,
        metadata={"a": [1]},
    )
    envelope = event.to_cloudevent()
    assert envelope["specversion"] == "1.0"
    assert {"id", "source", "type", "time", "subject", "datacontenttype", "data"} <= envelope.keys()
    again = UsageEvent.from_cloudevent(json.loads(json.dumps(envelope)), now=NOW + timedelta(days=1))
    assert again == event
    assert again.payload_hash == event.payload_hash


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"specversion": "0.3"}, "specversion"),
        ({"id": ""}, "id"),
        ({"source": None}, "source"),
        ({"data": "text"}, "data"),
        ({"data": {"units": 1}}, "service"),
        ({"data": {"service": "internal"}}, "units"),
        ({"data": {"service": "internal", "units": 1, "tenant_id": "other"}}, "subject"),
        ({"data": {"service": "internal", "units": 1, "event_key": "k"}}, "event_key"),
        ({"data": {"service": "internal", "units": 1, "colour": "red"}}, "colour"),
        ({"data": {"service": "internal", "units": 1, "seen_by": "me"}}, "seen_by"),
        ({"time": "soon"}, "occurred_at"),
        ({"datacontenttype": "text/xml"}, "datacontenttype"),
    ],
)
def test_what_is_no_cloudevent_of_ours_is_named(change: dict[str, Any], message: str) -> None:
    envelope = make(tenant_id="acme", service="internal").to_cloudevent() | change
    with pytest.raises(InvalidEvent, match=message):
        UsageEvent.from_cloudevent(envelope, now=NOW)


def test_who_sees_a_use_from_outside_has_a_key_of_its_own_for_the_same_record() -> None:
    call = {"service": "openai", "operation": "chat_completion", "input_tokens": 1}
    own, seen = make(**call, external_id="chatcmpl-1"), make(**call, external_id="chatcmpl-1", seen_by="span")
    assert (own.event_key, seen.event_key) == ("chatcmpl-1", "chatcmpl-1:span")
    assert own.record_key == seen.record_key == "chatcmpl-1"
    longest = [make(**call, external_id="x" * 499 + end, seen_by="litellm") for end in "ab"]
    assert len({one.event_key for one in longest}) == 2
    assert all(UsageEvent.from_cloudevent(one.to_cloudevent(), now=NOW) == one for one in longest)
    # Without the provider's id nothing says that it is the same use.
    assert make(**call, idempotency_key="k", seen_by="span").event_key == make(**call, idempotency_key="k").event_key


def test_a_callers_key_is_of_its_tenant_and_service() -> None:
    names = [("acme", "internal", "a"), ("acme", "stripe", "a"), ("beta", "internal", "a"), ("acme:a", "internal", "b")]
    names += [
        ("acme", "internal", "a:b"),
        ("acme%3Aa", "internal", "b"),
        ("%", "internal", ":"),
        (":", "internal", "%"),
    ]
    names += [("t" * 500, "internal", "k" * 500), ("t" * 499, "internal", "k" * 500)]
    keys = [make(tenant_id=tenant, service=service, idempotency_key=key).event_key for tenant, service, key in names]
    assert len(set(keys)) == len(names)
    assert max(len(key) for key in keys) <= 500
    assert keys == [scoped_key(*one) for one in names]


def test_what_an_event_says_is_the_same_as_before_its_key_was_scoped() -> None:
    fields = {"tenant_id": "acme", "occurred_at": NOW}
    assert make(**fields, idempotency_key="a").payload_hash == make(**fields, event_key="a").payload_hash


@pytest.mark.parametrize(
    "units", [10**10, 10**20 - 1, "99999999999999999999.5", Decimal("12345678901.000000000000000001")]
)
def test_a_large_quantity_is_kept_exactly(units: Any) -> None:
    assert make(units=units).units == Decimal(units)
