"""What is recorded reaches the database exactly once, in its month, as it was said."""

from __future__ import annotations

import logging
import threading
from decimal import Decimal
from pathlib import Path

import pytest
from prometheus_client import generate_latest

from tests.sdk.conftest import OWN, Base
from usage_metering import UsageTracker, usage_context
from usage_metering.redact import Redactor


def test_what_is_said_arrives(base: Base, tracker: UsageTracker) -> None:
    with usage_context(tenant_id="acme", feature="broadcast", lead_id="l1", metadata={"flow": "f"}):
        key = tracker.record(
            service="openai",
            model="gpt-5",
            input_tokens=100,
            cached_input_tokens=20,
            output_tokens=10,
            external_id="chatcmpl-1",
            occurred_at="2026-11-20T23:59:59+00:00",
            metadata={"to": "+15551234567"},
        )
    assert key == "chatcmpl-1"
    assert tracker.flush(10)
    assert base.rows(
        "select tenant_id, service, operation, channel, direction, source, feature, activity, model, units, input_tokens,"
        " cached_input_tokens, output_tokens, external_id, lead_id, metadata, usage_date::text, load_id like 'flush-%%'"
        " from raw.usage_events where event_key = %s",
        key,
    ) == [
        (
            *("acme", "openai", "chat_completion", "ai", "outbound", "openai", "broadcast", None, "gpt-5"),
            *(Decimal(110), 100, 20, 10, "chatcmpl-1", "l1"),
            {"flow": "f", "to": Redactor().number("+15551234567")},
            "2026-11-20",
            True,
        )
    ]


def test_on_the_oldest_server(oldest_database: str, oldest_server: str, tmp_path: Path) -> None:
    base = Base(oldest_database, oldest_server)
    with UsageTracker(base.url, tmp_path / "spool") as tracker:
        tracker.record("acme", "twilio_sms", external_id="SM1")
        tracker.record("acme", "twilio_sms", external_id="SM1", units=2)
        tracker.record_inbound_sms({"MessageSid": "SM2", "To": "+15550001111"})
    assert base.keys() == ["SM1", "SM2"]
    assert base.rows("select record_key from raw.rejected_records") == [("SM1",)]


def test_the_same_again_counts_once(base: Base, tracker: UsageTracker, tmp_path: Path) -> None:
    for _ in range(3):
        tracker.record("acme", "twilio_sms", external_id="SM1", units=2)
    assert tracker.flush(10)
    with UsageTracker(base.url, tmp_path / "another") as other:
        other.record("acme", "twilio_sms", external_id="SM1", units="2.0")
    assert base.keys() == ["SM1"]
    status = tracker.status()
    assert (status.recorded, status.flushed, status.duplicates, status.rejected) == (3, 1, 2, 0)
    assert base.rows("select count(*) from raw.rejected_records") == [(0,)]


@pytest.mark.parametrize("at_once", [True, False])
def test_the_same_key_with_another_word_is_rejected_once(base: Base, tracker: UsageTracker, at_once: bool) -> None:
    tracker.record("acme", "twilio_sms", external_id="SM1", units=1)
    if not at_once:
        assert tracker.flush(10)
    for _ in range(2):
        tracker.record("acme", "twilio_sms", external_id="SM1", units=5, metadata={"to": "+15551234567"})
        tracker.flush(10)
    assert base.rows("select event_key, units from raw.usage_events") == [("SM1", 1)]
    ((table, account, key, reason, record),) = base.rows(
        "select table_name, account_id, record_key, reason, record from raw.rejected_records"
    )
    assert (table, account, key) == ("usage_events", "acme", "SM1")
    assert "recorded before with other data" in reason
    assert record["units"] == "5"
    assert "5551234567" not in str(record)
    assert tracker.status().rejected == 2


def test_events_go_to_their_month_and_strange_dates_make_none(base: Base, tracker: UsageTracker) -> None:
    for key, when in {"a": "2026-10-31T23:59:59Z", "b": "2026-11-01T00:00:00Z", "c": "2101-01-01T00:00:00Z"}.items():
        tracker.record("acme", "internal", external_id=key, occurred_at=when)
    assert tracker.flush(10)
    assert base.rows("select tableoid::regclass::text, event_key from raw.usage_events order by 2") == [
        ("raw.usage_events_2026_10", "a"),
        ("raw.usage_events_2026_11", "b"),
        ("raw.usage_events_default", "c"),
    ]


def test_now_is_as_of(base: Base, tracker: UsageTracker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("METERING_AS_OF", "2026-03-04T05:06:07Z")
    tracker.record("acme", "internal")
    assert tracker.flush(10)
    assert base.rows("select usage_date::text from raw.usage_events") == [("2026-03-04",)]


def test_what_is_no_event_raises_nothing_and_is_visible(
    base: Base, tracker: UsageTracker, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.ERROR):
        assert tracker.record("acme", "smoke_signals", metadata={"to": "+15551234567", "body": "hi"}) is None
        assert tracker.record("acme", "twilio_sms", units=object()) is None  # type: ignore[arg-type]
        assert tracker.record("acme", "twilio_sms", metadata="text") is None  # type: ignore[arg-type]
        assert tracker.record_inbound_sms({}) is None
        assert tracker.record_inbound_sms(None) is None  # type: ignore[arg-type]
    assert len([record for record in caplog.records if "not recorded" in record.message]) == 5
    assert tracker.flush(10)
    assert tracker.status().refused == 5
    records = base.rows("select account_id, reason, record from raw.rejected_records order by id")
    assert records[0][0] == "acme"
    assert "service" in records[0][1]
    assert "5551234567" not in str(records)
    assert "'hi'" not in str(records)
    assert base.keys() == []


def test_a_line_that_the_database_cannot_hold_does_not_stop_the_others(base: Base, tracker: UsageTracker) -> None:
    with base.away():
        for number in range(9):
            tracker.record("acme", "internal", idempotency_key=f"k{number}")
    base.rows(f"alter table raw.usage_events add constraint odd check (event_key <> '{OWN}k4')")
    for number in range(9, 12):
        tracker.record("acme", "internal", idempotency_key=f"k{number}")
    assert tracker.flush(20)
    assert len(base.keys()) == 11
    ((key, reason),) = base.rows("select record_key, reason from raw.rejected_records")
    assert key == f"{OWN}k4"
    assert "odd" in reason


def test_the_tenant_of_a_number_is_found_when_it_is_flushed(base: Base, tracker: UsageTracker) -> None:
    number = Redactor().number("+15550001111")
    base.rows(
        "insert into raw.tenant_resources (tenant_id, provider, resource_type, resource_id, resource_hash, valid_from,"
        " valid_to) values ('acme', 'twilio', 'phone_number', '+15550001111', %s, '2026-01-01', '2026-11-15'),"
        " ('globex', 'twilio', 'phone_number', '+15550001111', %s, '2026-11-15', null)",
        number,
        number,
    )
    for sid, day in {"CA1": "Sat, 14 Nov 2026 12:00:00 +0000", "CA2": "Sun, 15 Nov 2026 12:00:00 +0000"}.items():
        form = {"CallSid": sid, "CallStatus": "completed", "CallDuration": "61", "Direction": "inbound"}
        tracker.record_call_status({**form, "To": "(555) 000-1111", "From": "+15559990000", "Timestamp": day})
    tracker.record_inbound_sms({"MessageSid": "SM1", "To": "+15558889999", "NumSegments": "1"})
    tracker.record_inbound_sms({"MessageSid": "SM2", "To": "+15550001111", "NumSegments": "1"}, tenant_id="initech")
    assert tracker.flush(10)
    assert base.rows("select event_key, tenant_id, units from raw.usage_events order by 1") == [
        ("CA1:completed", "acme", 2),
        ("CA2:completed", "globex", 2),
        ("SM1", "unattributed", 1),
        ("SM2", "initech", 1),
    ]
    assert "555" not in str(base.rows("select metadata from raw.usage_events"))


def test_threads_record_at_once(base: Base, tracker: UsageTracker) -> None:
    def work(name: int) -> None:
        for number in range(50):
            assert tracker.record("acme", "internal", idempotency_key=f"{name}-{number}")

    threads = [threading.Thread(target=work, args=(name,)) for name in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert tracker.flush(20)
    assert len(base.keys()) == 400


def test_memory_holds_a_batch_at_most(base: Base, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("usage_metering.spool.READ_BYTES", 4096)
    with UsageTracker(base.url, tmp_path / "spool") as tracker:
        for number in range(100):
            tracker.record("acme", "internal", idempotency_key=str(number), metadata={"x": "y" * 100})
        assert tracker.flush(20)
    loads = base.rows("select count(*) from raw.usage_events group by load_id")
    assert max(count for (count,) in loads) <= 10
    assert len(base.keys()) == 100


def test_metrics(tracker: UsageTracker) -> None:
    tracker.record("acme", "internal", idempotency_key="a")
    assert tracker.flush(10)
    text = generate_latest(tracker.registry).decode()
    assert "metering_tracking_flushed_total 1.0" in text
    assert "metering_tracking_spool_depth 0.0" in text
    assert "metering_tracking_lost_total 0.0" in text


def test_closing_brings_everything_and_leaves_no_files(base: Base, tmp_path: Path) -> None:
    with UsageTracker(base.url, tmp_path / "spool", flush_interval=60) as tracker:
        for number in range(5):
            tracker.record("acme", "internal", idempotency_key=str(number))
    assert len(base.keys()) == 5
    assert list((tmp_path / "spool").iterdir()) == []
    assert tracker.record("acme", "internal", idempotency_key="late") == f"{OWN}late"
    assert base.keys()[-1] == f"{OWN}late"


def test_flushed_events_are_live_usage_and_settle_their_reservation(base: Base, tracker: UsageTracker) -> None:
    base.make_marts(cap=10)
    when = "2026-11-20T10:00:00Z"
    base.rows("select * from ops.reserve_usage('r1', 'acme', 'sms', 'outbound', 4, '2026-11', 600, null)")
    tracker.record("acme", "twilio_sms", external_id="SM1", units=3, occurred_at=when, reservation="r1")
    tracker.record("acme", "twilio_sms", external_id="SM1", units=3, occurred_at=when)
    assert tracker.flush(10)
    assert base.rows("select key, units, is_reserved from ops.live_usage") == [("SM1", 3, False)]
    assert base.rows("select usage_date::text from ops.touched_days") == [("2026-11-20",)]


def test_use_of_nobody_is_told_or_refused(base: Base, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with UsageTracker(base.url, tmp_path / "spool") as tracker:
        for number in range(3):
            tracker.record(service="twilio_sms", operation="outbound", external_id=f"SM{number}")
        tracker.record("acme", "twilio_sms")
        tracker.record("unattributed", "twilio_sms")  # said so
        tracker.record_inbound_sms({"MessageSid": "SM9", "To": "+15550001111"})  # the number's owner's
    messages = [message for message in caplog.messages if "no tenant is named" in message]
    assert len(messages) == 1
    assert messages[0].startswith("twilio_sms outbound: no tenant is named")

    with UsageTracker(base.url, tmp_path / "strict", require_tenant=True) as strict:
        assert strict.record(service="internal", operation="export", idempotency_key="e1") is None
        assert strict.record("acme", "internal", operation="export", idempotency_key="e2") == f"{OWN}e2"
        assert strict.record_inbound_sms({"MessageSid": "SM10", "To": "+15550001111"}) == "SM10"
        assert strict.record_places("place_photo") is None
    assert base.rows("select record_key from raw.rejected_records where record_key is not null") == [("e1",)]
    assert {f"{OWN}e2", "SM10"} <= set(base.keys())
