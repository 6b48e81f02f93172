"""What is done quickly for each event comes to the same as what was done slowly."""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st

from usage_metering.events import TEXTS, TOKENS, UsageEvent, plain
from usage_metering.pii import DROPPED_KEYS, NUMBER_KEYS
from usage_metering.redact import CONTENT_KEYS, Redactor

NOW = datetime(2026, 11, 20, 10, tzinfo=UTC)

TEXT = st.none() | st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
NOT_TEXT = ("service", "operation", "channel", "direction")
VALUE = (
    st.none()
    | st.booleans()
    | st.integers(-(10**9), 10**9)
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
)


@given(
    st.fixed_dictionaries({}, optional=dict.fromkeys((name for name in TEXTS if name not in NOT_TEXT), TEXT)),
    st.fixed_dictionaries({}, optional={"output_tokens": st.integers(0, 2**63 - 1), "input_tokens": st.integers(0, 9)}),
    st.decimals(0, 10**19, places=9),
    st.none() | st.datetimes(datetime(2000, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001
    st.dictionaries(st.text("ab", min_size=1, max_size=3), VALUE | st.lists(VALUE, max_size=2), max_size=3),
    st.none() | st.text("ab:%", min_size=1, max_size=5),
)
def test_an_event_is_spelled_as_the_database_knows_it(
    texts: dict[str, Any], tokens: dict[str, Any], units: Decimal, when: Any, metadata: dict[str, Any], own: str | None
) -> None:
    """Stored hashes were made of `json.dumps` with sorted keys: another spelling would be another event."""
    event = UsageEvent.make(
        service="twilio_sms",
        now=NOW,
        **texts,
        **tokens,
        units=units,
        occurred_at=when,
        metadata=metadata,
        idempotency_key=own,
    )
    said = {name: value for name in (*TEXTS, *TOKENS) if (value := getattr(event, name)) is not None}
    said["units"] = plain(event.units)
    if metadata:
        said["metadata"] = metadata
    hashed = said if when is None else {**said, "occurred_at": when.isoformat()}
    text = json.dumps(hashed, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    row = {**said, "event_key": event.event_key, "occurred_at": (when or NOW).isoformat()}
    row["payload_hash"] = hashlib.sha256(text.encode()).hexdigest()
    if event.idempotency_key:
        row["idempotency_key"] = own
    assert json.loads(event.to_json()) == event.to_row() == row
    assert json.loads(event.to_json('r"1')) == {**row, "reservation": 'r"1'}
    assert event.payload_hash == row["payload_hash"]


NAMES = st.sampled_from(sorted(CONTENT_KEYS | DROPPED_KEYS | NUMBER_KEYS)) | st.text(
    "aB_1 +@.:5", min_size=1, max_size=12
)
VALUES = st.none() | st.booleans() | st.integers() | st.floats() | st.text("aB_1 +@.:5\xe9\x00", max_size=12)


@given(st.dictionaries(NAMES, VALUES, min_size=1, max_size=3), st.sampled_from(["key", ""]))
@example({"From": 5551234567}, "key")
@example({"flow": "welcome", "step": 3}, "key")
def test_what_an_event_keeps_at_a_glance_is_what_a_close_look_leaves(metadata: dict[str, object], key: str) -> None:
    at_a_glance = Redactor(key).fields({"metadata": metadata})["metadata"]
    assert repr(at_a_glance) == repr(Redactor(key).metadata(metadata))
