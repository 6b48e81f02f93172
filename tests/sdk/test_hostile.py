"""What a caller, an importer or another version can hand in does not lose, block or stop anything else."""

from __future__ import annotations

import io
import json
import logging
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tests.sdk.conftest import Base
from usage_metering import UsageEvent, UsageTracker
from usage_metering.flush import adopt
from usage_metering.importing import LONGEST_LINE, import_events, whole_lines
from usage_metering.redact import Redactor
from usage_metering.spool import Line, encode, set_aside
from usage_metering.store import EVENT, Store

NOW = datetime(2026, 11, 20, 10, tzinfo=UTC)
SECONDS = 5.0
"""A bound that only a hang or a quadratic search passes."""


@pytest.fixture
def store(base: Base) -> Iterator[Store]:
    store = Store(base.url)
    yield store
    store.close()


def nested(levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = [value]
    return value


class Odd:
    def __str__(self) -> str:
        raise RuntimeError("no text")


CYCLE: dict[str, Any] = {}
CYCLE["self"] = CYCLE

REFUSED: dict[str, dict[str, Any]] = {
    "over 32 KiB": {"metadata": {"blob": ["x" * 100] * 12_000}},
    "one long text": {"metadata": {"blob": "x" * 4_000_000}},
    "nested": {"metadata": {"deep": nested(600)}},
    "deeply nested": {"metadata": {"deep": nested(100_000)}},
    "a cycle": {"metadata": CYCLE},
    "many keys": {"metadata": {str(number): number for number in range(100_000)}},
    "a number of many digits": {"metadata": {"n": 10**5000}},
    "an object without text": {"metadata": {"n": Odd()}},
    "no mapping": {"metadata": 5},
    "a long key": {"idempotency_key": "a@" * 1_000_000},
    "a long id": {"external_id": "+1" * 1_000_000},
    "a long tenant": {"tenant_id": "t" * 1_000_000},
    "no service": {"service": "s" * 1_000_000},
    "a tenant that PostgreSQL cannot hold": {"tenant_id": "a\x00b\ud800", "service": "none"},
    "a key that PostgreSQL cannot hold": {"external_id": "a\x00b\ud800", "service": "none"},
    "units beyond": {"units": "1e99999999999999999999"},
    "units of many digits": {"units": 10**5000},
    "infinite": {"units": float("inf")},
    "less than nothing": {"units": -1},
}


def test_a_refused_event_takes_no_accepted_one_along(base: Base, store: Store, tmp_path: Path) -> None:
    """The process dies with the database away; a flush then brings everything that was acknowledged."""
    folder = tmp_path / "spool"
    tracker = UsageTracker(spool_dir=folder, database_url=base.url, flush_interval=1000)
    with base.away():
        accepted = [tracker.record(tenant_id="acme", service="internal", operation="export") for _ in range(10)]
        for fields in REFUSED.values():
            started = time.monotonic()
            assert (
                tracker.record(**{"tenant_id": "acme", "service": "internal", "operation": "export", **fields}) is None
            )
            assert time.monotonic() - started < SECONDS
            accepted.append(tracker.record(tenant_id="acme", service="internal", operation="export"))
        tracker.close(0)
    loaded, _ = adopt(folder, store)
    assert None not in accepted
    assert base.keys() == sorted(key for key in accepted if key)
    # The two nested ones read the same where they are cut off.
    assert (loaded.inserted, loaded.rejected, loaded.duplicates) == (len(accepted), len(REFUSED) - 1, 1)
    assert list(folder.iterdir()) == []
    ((largest,),) = base.rows("select max(length(record::text)) from raw.rejected_records")
    assert largest < 100_000


@pytest.mark.parametrize(
    "text", ["x" * 30_000, "x-" * 15_000, "a@" * 15_000, "%40a" * 7_500, "+1 " * 10_000, "x" * 29_990 + "@"]
)
def test_metadata_that_is_one_long_word_is_recorded_at_once(tmp_path: Path, text: str) -> None:
    tracker = UsageTracker(spool_dir=tmp_path)
    started = time.monotonic()
    key = tracker.record(tenant_id="acme", metadata={"note": text})
    assert (key is None) == (text[:2] == "a@")  # too large only once its addresses are hashed
    assert time.monotonic() - started < SECONDS
    tracker.close(0)


def event_line(**fields: Any) -> Line:
    event = UsageEvent.make(**{"service": "internal", "tenant_id": "acme", "now": NOW, **fields})
    return Line(EVENT, 1_795_000_000_000, json.dumps(event.to_row()).encode())


NOT_UNDERSTOOD = [
    Line("z", 1_795_000_000_000, b'{"later": "version"}'),
    Line("e", 1_795_000_000_000, b"no json"),
    Line("e", 1_795_000_000_000, b"\xff\xfe"),
    Line("e", 1_795_000_000_000, b"[]"),
    Line("e", 1_795_000_000_000, b"[" * 100_000 + b"]" * 100_000),
    Line("e", 1_795_000_000_000, b'{"event_key": "k", "units": 1e999999}'),
    Line("d", 1_795_000_000_000, b"[1]"),
    Line("d", 1_795_000_000_000, b'{"tenant_id": "a\\u0000"}'),
    Line("r", 1_795_000_000_000, b"{}"),
    Line("r", 1_795_000_000_000, b"no json"),
    Line("r", 1_795_000_000_000, b'{"tenant_id": "\\u0000", "record_key": null, "reason": "\\ud800", "record": 1}'),
]


def test_a_line_that_nobody_understands_holds_up_no_other(base: Base, store: Store, tmp_path: Path) -> None:
    lines = [event_line(event_key="first"), *NOT_UNDERSTOOD, event_line(event_key="last")]
    (tmp_path / "1-dead.00000001.log").write_bytes(b"".join(encode(line) for line in lines))
    loaded, _ = adopt(tmp_path, store)
    assert (loaded.inserted, loaded.rejected) == (2, len(NOT_UNDERSTOOD))
    assert base.keys() == ["first", "last"]
    assert base.rows("select count(*) from raw.rejected_records") == [(len(NOT_UNDERSTOOD),)]


def test_a_file_that_cannot_be_read_stays_and_holds_up_no_other(
    base: Base, store: Store, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "1-dead.00000001.log").mkdir()
    (tmp_path / "1-dead.00000002.log").write_bytes(encode(event_line(event_key="b")))
    (tmp_path / "2-dead.00000001.log").write_bytes(encode(event_line(event_key="a")))
    with caplog.at_level(logging.ERROR):
        loaded, _ = adopt(tmp_path, store)
    assert loaded.inserted == 2
    assert "1-dead.00000001.log cannot be read and stays" in caplog.text
    assert [path.name for path in tmp_path.glob("*.log")] == ["1-dead.00000001.log"]
    assert set_aside(tmp_path) == []


def envelope(**data: Any) -> dict[str, Any]:
    return {
        "specversion": "1.0",
        "id": "x",
        "source": "/t",
        "type": "t",
        "subject": "acme",
        "data": {"service": "internal", "units": 1, **data},
    }


def with_units(units: str) -> bytes:
    return json.dumps(envelope(units=7)).replace(": 7", f": {units}").encode()


BAD_LINES = [
    with_units("1e99999999999999999999"),
    with_units("-1e99999999999999999999"),
    with_units("1e999999999"),
    with_units("9" * 5_000),
    with_units("[" * 600 + "]" * 600),
    with_units("[" * 100_000 + "]" * 100_000),
    with_units("true"),
    with_units("{}"),
    json.dumps(envelope(metadata={"deep": nested(600)})).encode(),
    json.dumps(envelope(metadata={"blob": "x" * 40_000})).encode(),
    json.dumps(envelope(metadata=[1])).encode(),
    json.dumps(envelope(service=["internal"])).encode(),
    json.dumps(envelope(channel={"a": 1})).encode(),
    json.dumps(envelope(operation=[1])).encode(),
    json.dumps(envelope(direction=["x"])).encode(),
    json.dumps(envelope(input_tokens="5")).encode(),
    json.dumps(envelope(external_id=5)).encode(),
    json.dumps(envelope(lead_id=[1])).encode(),
    json.dumps(envelope(later="field")).encode(),
    json.dumps({**envelope(), "id": 5}).encode(),
    json.dumps({**envelope(), "id": "k" * 1_000}).encode(),
    json.dumps({**envelope(), "subject": ["acme"]}).encode(),
    json.dumps({**envelope(), "subject": "a\x00\ud800", "specversion": "2"}).encode(),
    json.dumps({**envelope(), "time": 5}).encode(),
    json.dumps({**envelope(), "time": "9999-99-99"}).encode(),
    json.dumps({**envelope(), "time": "0001-01-01T00:00:00+14:00"}).encode(),
    json.dumps({**envelope(), "data": None}).encode(),
    json.dumps({**envelope(), "datacontenttype": ["x" * 100_000]}).encode(),
    json.dumps({**envelope(), "specversion": "x" * 100_000}).encode(),
    b"\xff\xfe\x00",
    b"\x00",
    b"null",
    b"5",
    b'"text"',
    b"[]",
    b"{",
    b"1e99999999999999999999",
    b"x" * (3 * LONGEST_LINE),
    b'{"specversion": "' + b"a" * 900_000 + b'"}',
]


def test_an_import_survives_every_line(base: Base, store: Store) -> None:
    good = [
        json.dumps({**envelope(), "id": f"good-{number:03d}", "time": NOW.isoformat()})
        for number in range(len(BAD_LINES))
    ]
    file = io.BytesIO(
        b"".join(line + b"\n" + kept.encode() + b"\n" for line, kept in zip(BAD_LINES, good, strict=True))
    )
    started = time.monotonic()
    found = import_events(whole_lines(file), store, Redactor())
    assert time.monotonic() - started < 4 * SECONDS
    assert (found.lines, found.unreadable, found.loaded.inserted) == (2 * len(BAD_LINES), len(BAD_LINES), len(good))
    assert all(len(complaint) <= 500 for _, complaint in found.complaints)
    assert base.rows("select count(*) from raw.usage_events") == [(len(good),)]
    ((largest,),) = base.rows("select max(length(record::text)) from raw.rejected_records")
    assert largest < 100_000
