"""A month of tracked calls beside the provider's records: totals stay the provider's, each defect shows, none is invented."""

from __future__ import annotations

import json
import os
from collections import defaultdict
from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from builds import ledger
from builds.due import ranges_of
from cli.errors import CommandFailed
from sandbox import Dataset, running
from tests.e2e.system import ROOT, System
from tests.e2e.test_numbers import load_as_of, read_before
from tests.oracle import Expected, Scenario, Tracking, compare, compute, flush, generate, track
from tests.oracle.events import Quantity
from tests.oracle.flush import COLUMNS
from tests.oracle.records import Reading, load_provided, load_r2
from tests.oracle.rules import call_day, is_final, message_channel, message_day, started_minutes
from tests.oracle.track import Row, is_late
from tests.proof import IS_PROOF
from usage_metering.pii import Hasher

# Whole builds, on a slow machine beside others: what hangs is still ended.
pytestmark = pytest.mark.timeout(600)

SEEDS = ROOT / "dbt_project" / "seeds"
FIRST, LAST = date(2026, 10, 1 if IS_PROOF else 15), date(2026, 11, 2)
AS_OF = datetime(2026, 11, 2, 12, tzinfo=UTC)
LOOKBACK = 3
# A closed day whose completions OpenAI never tells: what was tracked of it stays provisional.
UNANSWERED = date(2026, 10, 20)
BATCHES = 3


def test_a_month_of_tracked_calls_with_known_defects(
    bare_system: System, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scenario = generate(
        tmp_path / "data",
        tmp_path / "directory",
        seed=3,
        seeds=SEEDS,
        first=FIRST,
        last=LAST,
        as_of=AS_OF,
        outside_parents=False,
        per_day=16,
    )
    missing = {"openai_usage_completions": [UNANSWERED.isoformat()]}
    (scenario.folder / "missing_buckets.json").write_text(json.dumps(missing))
    tracking = track(
        scenario.folder,
        scenario.loads,
        seed=3,
        first=FIRST,
        last=LAST,
        as_of=AS_OF,
        readings=scenario.readings,
    )
    late = tracking.late()
    in_time = [row for row in tracking.deliveries if not is_late(row)]
    without_late = expected_of(scenario, [row for row in tracking.events if not is_late(row)])
    expected = expected_of(scenario, tracking.events)

    ingest(bare_system, scenario, monkeypatch)
    size = -(-len(in_time) // BATCHES)
    for number in range(BATCHES):
        brought(bare_system, in_time[number * size : (number + 1) * size], f"flush-{number}")
    bare_system.refresh(FIRST.isoformat(), LAST.isoformat(), only="build")

    assert_equal(bare_system, without_late)
    assert_cap_counts_once(bare_system, without_late)
    assert touched(bare_system) == []

    new = brought(bare_system, late, "flush-late")
    assert new == len({row["event_key"] for row in late} - {row["event_key"] for row in in_time})
    assert 0 < len(touched(bare_system)) < 10
    for window in ranges_of(touched(bare_system)):
        bare_system.refresh(window.start.isoformat(), (window.end - timedelta(days=1)).isoformat(), only="build")

    assert_equal(bare_system, expected)
    assert_cap_counts_once(bare_system, expected)
    assert_labels(bare_system, tracking)
    assert_provider_totals(bare_system, scenario, expected)
    assert_rejected(bare_system, tracking)
    if IS_PROOF:
        by_touched_days = bare_system.marts()
        bare_system.refresh(FIRST.isoformat(), LAST.isoformat(), only="build")
        assert bare_system.marts() == by_touched_days, "a full rebuild"


def test_events_may_come_before_the_first_build(database: str, tmp_path: Path) -> None:
    """An SDK that is installed before anything was built must not find its flushes refused."""
    nothing = dict.fromkeys(
        ("model", "input_tokens", "cached_input_tokens", "cache_write_tokens", "cache_write_1h_tokens", "output_tokens", "resource_id", "lead_id",
         "message_id", "flow_execution_id", "activity")
    )  # fmt: skip
    event = nothing | {
        "event_key": "SM1",
        "external_id": "SM1",
        "tenant_id": "acme",
        "service": "twilio_sms",
        "operation": "outbound",
        "channel": "sms",
        "direction": "outbound",
        "source": "twilio",
        "feature": "broadcast",
        "units": 2,
        "metadata": {},
        "occurred_at": AS_OF,
        "received_at": AS_OF,
    }
    assert flush(database, [event], "flush-1") == 1
    assert System(database, tmp_path, None).query("select key, units from ops.live_usage") == [("SM1", 2)]


def brought(system: System, rows: list[Row], load_id: str) -> int:
    """Flush them as the SDK does: the days of numbers by the numbers' hashes."""
    hasher = Hasher(os.environ["METERING_PII_KEY"])

    def hashed(row: Row) -> Row:
        if row["service"] != "twilio_phone":
            return row
        kind, number, day = row["external_id"].split(":")
        return row | {"external_id": f"{kind}:{hasher.hash(number)}:{day}"}

    return flush(system.database_url, map(hashed, rows), load_id)


def expected_of(scenario: Scenario, events: list[Row]) -> Expected:
    return compute(
        scenario.folder,
        scenario.loads,
        SEEDS,
        first=scenario.first,
        last=scenario.last,
        as_of=scenario.as_of,
        lookback=LOOKBACK,
        events=events,
        readings=scenario.readings,
    )


def ingest(system: System, scenario: Scenario, monkeypatch: pytest.MonkeyPatch) -> None:
    """Bring in the provider's month, and build its last day without any event."""
    monkeypatch.setenv("METERING_AS_OF", scenario.as_of.isoformat())
    monkeypatch.setenv("METERING_START_DATE", scenario.first.isoformat())
    monkeypatch.setenv("METERING_LOOKBACK_DAYS", str(LOOKBACK))
    with running(Dataset.load(scenario.folder), now=scenario.as_of) as sandbox:
        for variable, value in sandbox.environment().items():
            monkeypatch.setenv(variable, value)
        read_before(system, scenario, sandbox, monkeypatch)
        for day, folder in scenario.loads:
            load_as_of(system, day, folder, monkeypatch)
        with pytest.raises(CommandFailed, match=r"^openai: "):
            system.refresh(scenario.first.isoformat(), scenario.last.isoformat(), only="ingest")
    # The marts are there before the first event, as they are wherever a product begins to track.
    system.refresh(scenario.last.isoformat(), scenario.last.isoformat(), only="build")


def touched(system: System) -> list[date]:
    """The days that the system itself would build again, as its sensor asks for them."""
    return [day for day in ledger.touched_days(system.database_url) if day >= FIRST]


def assert_equal(system: System, expected: Expected) -> None:
    differences = compare(system.database_url, expected)
    assert not differences, f"{len(differences)} differences\n" + "\n".join(differences[:40])


def assert_cap_counts_once(system: System, expected: Expected) -> None:
    """What the marts hold is no longer live; what is live is in no mart."""
    live = {key for (key,) in system.query("select key from ops.live_usage where not is_reserved")}
    assert live & expected.record_keys == set()


def assert_labels(system: System, tracking: Tracking) -> None:
    """Every defect under its state, and not one row more."""
    rows = system.query("select tenant_id, date, service, state from marts.usage_reconciliation")
    found = {(tenant, day, service): state for tenant, day, service, state in rows}
    wrong = [
        f"{where}: {tracking.labels.get(where)} was injected, {found.get(where)} is shown"
        for where in sorted(found.keys() | tracking.labels.keys())
        if found.get(where) != tracking.labels.get(where)
    ]
    assert not wrong, f"{len(wrong)} rows\n" + "\n".join(wrong[:40])


def assert_provider_totals(system: System, scenario: Scenario, expected: Expected) -> None:
    """On closed days, whatever was tracked, the settled units of all tenants are the provider's own."""
    provided = load_provided(scenario.folder, scenario.as_of, scenario.readings)
    load_r2(provided, scenario.folder, [*scenario.readings, Reading(scenario.as_of, scenario.first, scenario.last)])
    provider: dict[tuple[date, str], Quantity] = defaultdict(int)
    for message in provided.messages:
        if (day := message_day(message)) is not None:
            channel, units = message_channel(message)
            provider[day, channel] += units
    for call in provided.calls:
        if (day := call_day(call)) is not None:
            provider[day, "voice"] += started_minutes(call.duration)
    for usage in provided.usage:
        provider[usage.day, "ai"] += usage.input_tokens + usage.output_tokens
    for recording in provided.recordings:
        if recording.status in ("completed", "deleted"):
            provider[recording.date_created.date(), "recording"] += started_minutes(recording.duration)
    for transaction in provided.transactions:
        provider[transaction.created.date(), "payments"] += 1
    for operations in provided.operations:
        if operations.status_code not in (401, 403):
            provider[operations.at.date(), "storage_ops"] += operations.requests
    for moderation in provided.counted:
        if moderation.endpoint == "moderations":
            provider[moderation.day, "ai"] += moderation.quantity
    subusers: dict[date, int] = defaultdict(int)
    parent: dict[date, int] = defaultdict(int)
    requested = provided.subuser_names | {"closed-mail"}  # one that only the directory knows
    for emails in provided.emails:
        if not emails.subuser:
            parent[emails.day] += emails.requests
        elif emails.subuser in requested:
            subusers[emails.day] += emails.requests
    for day in subusers.keys() | parent.keys():
        provider[day, "email"] = max(subusers[day], parent[day])
    rows = system.query(
        "select date, channel, sum(case when channel = 'ai' then input_tokens + output_tokens else unit_count end)"
        " from marts.usage_daily where channel not in ('places', 'internal') and evidence <> 'tracked' group by 1, 2"
    )
    found = {(day, channel): units for day, channel, units in rows}
    closed = [day for day in days(scenario) if is_final(day, scenario.as_of, LOOKBACK)]
    for day in closed:
        for channel in ("sms", "mms", "voice", "recording", "ai", "email", "payments", "storage_ops"):
            assert found.get((day, channel), 0) == provider[day, channel], (day, channel)
    assert not any(
        final for (final,) in system.query("select is_final from marts.usage_summary where provisional_unit_count <> 0")
    )
    (provisional,) = system.query("select sum(provisional_unit_count) from marts.usage_summary")[0]
    assert provisional == sum(line.in_total for line in expected.lines if line.provisional)


def assert_rejected(system: System, tracking: Tracking) -> None:
    """Each conflicting payload is set aside; a duplicate is not."""
    rows = system.query("select record_key from raw.rejected_records where table_name = 'usage_events'")
    assert sorted(key for (key,) in rows) == sorted(row["event_key"] for row in tracking.rejected)
    assert system.query("select count(*) from raw.usage_events") == [(len(tracking.events),)]


def days(scenario: Scenario) -> Iterable[date]:
    for offset in range((scenario.last - scenario.first).days + 1):
        yield scenario.first + timedelta(days=offset)


def test_a_message_that_was_scheduled_ahead_counts_once_on_the_day_it_was_sent(
    system: System, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("METERING_LOOKBACK_DAYS", "3")
    message = next(dict(row) for row in system.sandbox.dataset.twilio_messages if row["direction"] == "outbound-api")
    message |= {"sid": "SM" + "a" * 32, "date_sent": "Mon, 09 Nov 2026 12:00:00 +0000", "num_media": "0", "num_segments": "1",
                "status": "delivered", "price": "-0.0083", "price_unit": "USD"}  # fmt: skip
    tenant = system.directory.joinpath("tenants.csv").read_text().splitlines()[1].split(",")[0]
    event = dict.fromkeys(COLUMNS) | {
        "event_key": message["sid"],
        "external_id": message["sid"],
        "tenant_id": tenant,
        "service": "twilio_sms",
        "operation": "outbound",
        "channel": "sms",
        "direction": "outbound",
        "source": "twilio",
        "feature": "scheduled",
        "units": 1,
        "metadata": {},
        "occurred_at": datetime(2026, 11, 2, 12, tzinfo=UTC),
        "received_at": datetime(2026, 11, 2, 12, tzinfo=UTC),
    }
    scheduled = (
        "select date::text, unit_count::int from marts.usage_daily where feature = 'scheduled' and channel = 'sms'"
    )
    monkeypatch.setenv("METERING_AS_OF", "2026-11-08T12:00:00+00:00")
    assert flush(system.database_url, [event], "flush-1") == 1
    system.refresh("2026-11-02", "2026-11-02", providers=["twilio"])
    assert system.query(scheduled) == [("2026-11-02", 1)]

    monkeypatch.setenv("METERING_AS_OF", "2026-11-10T02:00:00+00:00")
    system.sandbox.put("twilio_messages", message)
    system.refresh("2026-11-06", "2026-11-09", providers=["twilio"])
    assert system.query(scheduled) == [("2026-11-09", 1)]
    assert touched(system) == []
    assert system.query("select count(*) from ops.live_usage") == [(0,)]
