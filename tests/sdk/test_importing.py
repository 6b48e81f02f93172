"""A file of CloudEvents: what can be read is taken once, what cannot is kept with the reason, and nothing personal."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from tests.sdk.conftest import Base
from usage_metering.events import UsageEvent
from usage_metering.importing import Imported, import_events
from usage_metering.redact import Redactor
from usage_metering.store import Store

NOW = datetime(2026, 11, 20, 10, tzinfo=UTC)


@pytest.fixture
def store(base: Base) -> Iterator[Store]:
    store = Store(base.url)
    yield store
    store.close()


def cloudevent(key: str, **fields: Any) -> dict[str, Any]:
    event = UsageEvent.make(**{"service": "internal", "now": NOW, "tenant_id": "acme", "event_key": key, **fields})
    return event.to_cloudevent()


def load(store: Store, *lines: object) -> Imported:
    raw = [line if isinstance(line, bytes) else json.dumps(line).encode() + b"\n" for line in lines]
    return import_events(raw, store, Redactor())


def test_events_arrive_and_again_are_duplicates(base: Base, store: Store) -> None:
    lines = [cloudevent("a", units="0.1", metadata={"rate": 1.5}), b"\n", cloudevent("b", service="twilio_sms")]
    assert load(store, *lines).loaded.inserted == 2
    again = load(store, *lines)
    assert (again.lines, again.loaded.inserted, again.loaded.duplicates, again.unreadable) == (2, 0, 2, 0)
    assert base.rows(
        "select event_key, units::text, metadata, load_id like 'import-%' from raw.usage_events order by 1"
    ) == [
        ("a", "0.100000000000000000", {"rate": 1.5}, True),
        ("b", "1.000000000000000000", {}, True),
    ]


def test_bad_lines_are_kept_with_their_reason_and_the_rest_is_taken(base: Base, store: Store) -> None:
    lines: list[Any] = [
        cloudevent("a"),
        b"not json +15551234567\n",
        {**cloudevent("b"), "specversion": "0.3"},
        {**cloudevent("c"), "data": {"service": "internal", "units": -1, "metadata": {"to": "+15551234567"}}},
        b'"text"\n',
        b'{"a": NaN}\n',
        cloudevent("d"),
    ]
    for _ in range(2):
        found = load(store, *lines)
        assert (found.lines, found.unreadable) == (7, 5)
        assert [number for number, _ in found.complaints] == [2, 3, 4, 5, 6]
    assert base.keys() == ["a", "d"]
    kept = base.rows("select account_id, record_key, reason, record from raw.rejected_records order by id")
    assert len(kept) == 5
    assert "5551234567" not in str(kept)
    assert ("acme", "c") in [row[:2] for row in kept]


def test_the_same_key_with_another_word_is_a_conflict(base: Base, store: Store) -> None:
    found = load(store, cloudevent("a", units=1), cloudevent("a", units=2))
    assert (found.loaded.inserted, found.loaded.rejected, found.unreadable) == (1, 1, 0)
    assert base.rows("select record_key from raw.rejected_records") == [("a",)]


def test_what_is_personal_is_hashed_on_the_way_in(base: Base, store: Store) -> None:
    envelope = cloudevent("a")
    envelope["data"]["metadata"] = {"to": "+15551234567", "body": "hi"}
    envelope["data"]["lead_id"] = "jo@example.com"
    load(store, envelope)
    ((metadata, lead),) = base.rows("select metadata, lead_id from raw.usage_events")
    assert metadata == {"to": Redactor().number("+15551234567")}
    assert "example" not in lead


def test_a_large_file_goes_in_batches(base: Base, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("usage_metering.importing.BATCH_LINES", 100)
    found = load(store, *(cloudevent(f"k{number}") for number in range(1050)))
    assert found.loaded.inserted == 1050
    assert base.rows("select count(distinct load_id) from raw.usage_events") == [(11,)]
