"""The month of tracked calls: its rates, its labels against the oracle's reconciliation, and the way in."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import psycopg
import pytest

from sandbox import Dataset
from tests.oracle import SCENARIOS, Expected, Scenario, Tracking, compute, flush, generate, track, write_seeds
from tests.oracle.events import load_events
from tests.oracle.reconciliation import STATES
from tests.oracle.records import load_provided
from tests.oracle.rules import is_final, message_day
from tests.oracle.track import counts, is_late
from tests.proof import LONG

SEEDS = Path(__file__).parents[2] / "dbt_project" / "seeds"


@dataclass
class Month:
    scenario: Scenario
    tracking: Tracking
    expected: Expected


def nasty(folder: Path, name: str, seed: int) -> Scenario:
    window = SCENARIOS[name]
    write_seeds(folder / "seeds", window["first"] + timedelta(days=9))
    made = generate(folder / "data", folder / "directory", seed=seed, seeds=folder / "seeds", **window)
    gone = made.first + timedelta(days=5)
    (made.folder / "missing_buckets.json").write_text(f'{{"openai_usage_completions": ["{gone}"]}}')
    return made


def ordinary(folder: Path, name: str, seed: int) -> Scenario:
    first, last = date(2026, 10, 1), date(2026, 11, 2)
    dataset = Dataset.generate(seed=seed, tenants=6, first=first, last=last, scale=0.05)
    dataset.dump(folder / "data")
    dataset.write_directory(folder / "directory")
    as_of = datetime(2026, 11, 2, 12, tzinfo=UTC)
    tenants = [row["tenant_id"] for row in dataset.tenants]
    return Scenario(folder / "data", folder / "directory", [(last, folder / "directory")], first, last, as_of, tenants)


@pytest.fixture(
    scope="module",
    params=[
        pytest.param((nasty, "end of January", 1), id="nasty, end of January"),
        pytest.param((nasty, "the 31st after a short month", 2), id="nasty, two months", marks=LONG),
        pytest.param((nasty, "a finished month, with a removal", 3), id="nasty, finished", marks=LONG),
        pytest.param((ordinary, "", 4), id="ordinary"),
    ],
)
def month(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Month:
    folder = tmp_path_factory.mktemp("month")
    made: Callable[[Path, str, int], Scenario]
    made, name, seed = request.param
    scenario = made(folder, name, seed)
    window: dict[str, Any] = {
        "first": scenario.first,
        "last": scenario.last,
        "as_of": scenario.as_of,
        "readings": scenario.readings,
    }
    tracking = track(scenario.folder, scenario.loads, seed=seed, **window)
    seeds = folder / "seeds" if (folder / "seeds").exists() else SEEDS
    expected = compute(scenario.folder, scenario.loads, seeds, events=tracking.events, **window)
    return Month(scenario, tracking, expected)


def test_every_label_is_what_reconciliation_says_and_no_other_row_is_there(month: Month) -> None:
    mart = month.expected.marts["usage_reconciliation"]
    assert {key: row["state"] for key, row in mart.items()} == month.tracking.labels
    shown = counts(month.tracking.labels)
    assert all(shown[state] for state in STATES if state != "price_pending"), shown


def test_totals_of_closed_days_are_the_providers(month: Month) -> None:
    """But for what only the events know: records that never arrived, and buckets that were not answered."""
    provided = load_provided(month.scenario.folder, month.scenario.as_of)
    sms: dict[date, int] = {}
    for m in provided.messages:
        if (day := message_day(m)) and m.num_media == 0:
            sms[day] = sms.get(day, 0) + max(1, m.num_segments)
    tokens: dict[date, int] = {}
    for u in provided.usage:
        tokens[u.day] = tokens.get(u.day, 0) + u.input_tokens + u.output_tokens
    for c in provided.counted:
        if c.endpoint == "moderations":
            tokens[c.day] = tokens.get(c.day, 0) + c.quantity
    compared = 0
    for offset in range((month.scenario.last - month.scenario.first).days + 1):
        day = month.scenario.first + timedelta(days=offset)
        if not is_final(day, month.scenario.as_of, 3):
            continue
        settled = [x for x in month.expected.lines if x.day == day and not x.provisional]
        assert sum(x.units for x in settled if x.channel == "sms") == sms.get(day, 0)
        assert sum(x.in_total for x in settled if x.channel == "ai") == tokens.get(day, 0)
        compared += 1
    assert compared > 10


def test_rates(month: Month) -> None:
    tracking = month.tracking
    events = len(tracking.events)
    assert 0.06 < tracking.dropped / tracking.calls < 0.15
    assert 0.035 < tracking.duplicates / events < 0.065
    assert 0.015 < len([row for row in tracking.events if is_late(row)]) / events < 0.021
    assert 0 < len(tracking.rejected) < events / 50


def test_each_key_arrives_with_its_first_payload(month: Month) -> None:
    assert len(load_events(month.tracking.events)) == len({row["event_key"] for row in month.tracking.deliveries})
    received = [row["received_at"] for row in month.tracking.deliveries]
    assert received == sorted(received)


def test_the_same_seed_tracks_the_same(tmp_path: Path) -> None:
    scenario = nasty(tmp_path, "end of January", 5)

    def tracked(seed: int) -> Tracking:
        return track(
            scenario.folder,
            scenario.loads,
            seed=seed,
            first=scenario.first,
            last=scenario.last,
            as_of=scenario.as_of,
        )

    assert tracked(1) == tracked(1)
    assert tracked(1) != tracked(2)


# --- the way in ---------------------------------------------------------------------------------------------


def row(key: str, **given: Any) -> dict[str, Any]:
    nothing = dict.fromkeys(
        ("feature", "activity", "model", "input_tokens", "cached_input_tokens", "cache_write_tokens",
         "cache_write_1h_tokens", "output_tokens",
         "external_id", "resource_id", "lead_id", "message_id", "flow_execution_id")
    )  # fmt: skip
    at = datetime(2026, 10, 31, 23, 59, 59, tzinfo=UTC)
    return {
        **nothing,
        "event_key": key,
        "tenant_id": "acme",
        "service": "twilio_sms",
        "operation": "outbound",
        "channel": "sms",
        "direction": "outbound",
        "source": "twilio",
        "units": 1,
        "metadata": {},
        "occurred_at": at,
        "received_at": at + timedelta(days=4),
        **given,
    }


@pytest.fixture
def landing(database: str) -> str:
    """A database with what the flush's own functions read of the marts."""
    with psycopg.connect(database) as connection:
        connection.execute("set local role metering_transformer")
        connection.execute((Path(__file__).parents[1] / "api" / "marts.sql").read_bytes())
    return database


def test_a_key_is_stored_once_for_ever_and_another_payload_is_rejected(landing: str) -> None:
    november = datetime(2026, 11, 1, tzinfo=UTC)
    batch = [row("a"), row("a"), row("a", units=5), row("b", occurred_at=november, units=Decimal("2.5"))]
    assert flush(landing, batch, "load-1") == 2
    assert flush(landing, [row("a"), row("a", units=5), row("a", units=6), row("c")], "load-2") == 1
    with psycopg.connect(landing) as connection:

        def ask(statement: str) -> list[tuple[Any, ...]]:
            return connection.execute(statement.encode()).fetchall()

        assert ask("select event_key, units, load_id, usage_date from raw.usage_events order by 1") == [
            ("a", 1, "load-1", date(2026, 10, 31)),
            ("b", Decimal("2.5"), "load-1", date(2026, 11, 1)),
            ("c", 1, "load-2", date(2026, 10, 31)),
        ]
        assert ask("select tableoid::regclass::text from raw.usage_events where event_key = 'b'") == [
            ("raw.usage_events_2026_11",)
        ]
        assert ask(
            "select record_key, account_id, usage_date::text, load_id, (record ->> 'units')::numeric"
            " from raw.rejected_records where table_name = 'usage_events' order by id"
        ) == [
            ("a", "acme", "2026-10-31", "load-1", 5),
            ("a", "acme", "2026-10-31", "load-2", 5),
            ("a", "acme", "2026-10-31", "load-2", 6),
        ]
        assert ask("select key, units from ops.live_usage order by 1") == [("a", 1), ("b", Decimal("2.5")), ("c", 1)]
        assert ask("select usage_date::text, load_id from ops.touched_days order by 2, 1") == [
            ("2026-10-31", "load-1"),
            ("2026-11-01", "load-1"),
            ("2026-10-31", "load-2"),
        ]


def test_the_whole_month_goes_in(landing: str, tmp_path: Path) -> None:
    scenario = nasty(tmp_path, "end of January", 6)
    tracking = track(
        scenario.folder, scenario.loads, seed=6, first=scenario.first, last=scenario.last, as_of=scenario.as_of
    )
    half = len(tracking.deliveries) // 2
    new = flush(landing, tracking.deliveries[:half], "1") + flush(landing, tracking.deliveries[half:], "2")
    assert new == len(tracking.events)
    with psycopg.connect(landing) as connection:
        (rejected,) = connection.execute("select count(*) from raw.rejected_records").fetchone() or (None,)
    assert rejected == len(tracking.rejected)
