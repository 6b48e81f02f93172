"""The marts against an independent calculation by the contract's words, digit by digit."""

from __future__ import annotations

import os
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest

from ingestion.config import IngestSettings
from ingestion.directory import load_directory
from orchestration.assets.ingestion import known_plans
from sandbox import Dataset, running, twilio_usage
from tests.dbt.price_book import PriceBook
from tests.e2e.system import ROOT, System
from tests.oracle import SCENARIOS, Scenario, compare, compute, generate, write_seeds
from tests.oracle.generate import MAIN, SUBACCOUNT
from tests.oracle.records import instant, load_provided
from tests.oracle.rules import message_day
from tests.oracle.totals import SMS, VOICE, counted_totals
from tests.proof import all_in_proof

# Whole builds, on a slow machine beside others: what hangs is still ended.
pytestmark = pytest.mark.timeout(600)

SEEDS = ROOT / "dbt_project" / "seeds"
WORLDS = [(name, seeds) for seeds in ("repository", "hard") for name in SCENARIOS]
# With a month's end and a day that is not whole; the repository's own seeds are those of the month in test_tracked.py.
ALWAYS = [("end of January", "hard")]


@pytest.mark.parametrize(("name", "seeds"), all_in_proof(WORLDS, ALWAYS))
def test_every_mart_equals_the_independent_calculation(
    name: str, seeds: str, bare_system: System, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scenario_options: dict[str, Any] = dict(SCENARIOS[name])
    seed_folder = SEEDS
    if seeds == "hard":
        seed_folder = PriceBook(tmp_path, monkeypatch).path.parent
        write_seeds(
            seed_folder,
            scenario_options["first"] + (scenario_options["last"] - scenario_options["first"]) / 2,
        )
    scenario = generate(
        tmp_path / "data",
        tmp_path / "directory",
        seed=len(name) + len(seeds),
        seeds=seed_folder,
        outside_parents=False,
        **scenario_options,
    )
    # What the account's own stats hold is the account's choice: both are played.
    parent_stats = "own" if seeds == "hard" else "total"
    monkeypatch.setenv("METERING_SENDGRID_PARENT_STATS", parent_stats)
    expected = compute(
        scenario.folder,
        scenario.loads,
        seed_folder,
        first=scenario.first,
        last=scenario.last,
        as_of=scenario.as_of,
        readings=scenario.readings,
        parent_stats=parent_stats,
        account_totals=twilio_counts_otherwise(scenario, monkeypatch),
    )

    monkeypatch.setenv("METERING_START_DATE", scenario.first.isoformat())
    with running(Dataset.load(scenario.folder), now=scenario.as_of.astimezone(UTC)) as sandbox:
        for variable, value in sandbox.environment().items():
            monkeypatch.setenv(variable, value)
        read_before(bare_system, scenario, sandbox, monkeypatch)
        for day, folder in scenario.loads:
            load_as_of(bare_system, day, folder, monkeypatch)
        bare_system.rebuild(scenario.first.isoformat(), scenario.last.isoformat())

    differences = compare(bare_system.database_url, expected)
    assert not differences, "\n".join(differences[:40])
    rejected = bare_system.query("select table_name, reason, record from raw.rejected_records")
    assert rejected == []


def twilio_counts_otherwise(scenario: Scenario, monkeypatch: pytest.MonkeyPatch) -> dict[tuple[str, date, str], int]:
    """Let Twilio's totals of two days differ from its records: a unit more for each message of the main account,
    and no calls of a subaccount. Returns what it then says of them.
    """
    provided = load_provided(scenario.folder, scenario.as_of)
    ours = counted_totals(provided.messages, provided.calls)
    both = {(account, day) for account, day, _ in ours if (account, day, SMS) in ours and (account, day, VOICE) in ours}
    day = min(day for account, day in both if account == MAIN and day > scenario.first)
    silent = min(day for account, day in both if account == SUBACCOUNT and day > scenario.first)
    messages, calls = twilio_usage.COUNTED["twilio_messages"], twilio_usage.COUNTED["twilio_calls"]

    def more(record: dict[str, Any]) -> tuple[str, int] | None:
        found, sent = messages(record), instant(record.get("date_sent"))
        is_it = record["account_sid"] == MAIN and sent is not None and sent.date() == day
        return (found[0], found[1] + 1) if found and is_it else found

    def none(record: dict[str, Any]) -> tuple[str, int] | None:
        began = instant(record.get("start_time"))
        is_it = record["account_sid"] == SUBACCOUNT and began is not None and began.date() == silent
        return None if is_it else calls(record)

    monkeypatch.setitem(twilio_usage.COUNTED, "twilio_messages", more)
    monkeypatch.setitem(twilio_usage.COUNTED, "twilio_calls", none)
    count = sum(m.account == MAIN and message_day(m) == day for m in provided.messages)
    return {(MAIN, day, SMS): ours[MAIN, day, SMS] + count, (SUBACCOUNT, silent, VOICE): 0}


def read_before(system: System, scenario: Scenario, sandbox: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The earlier ingests of a scenario, each at its own moment; the sandbox and the run are then as of the last."""
    day, folder = scenario.loads[0]
    for reading in scenario.readings:
        sandbox.now = reading.at
        monkeypatch.setenv("METERING_AS_OF", reading.at.isoformat())
        load_as_of(system, min(day, reading.at.date()), folder, monkeypatch)
        system.refresh(reading.first.isoformat(), reading.last.isoformat(), only="ingest")
    sandbox.now = scenario.as_of
    monkeypatch.setenv("METERING_AS_OF", scenario.as_of.isoformat())


def load_as_of(system: System, day: date, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Load a directory as it stood on ``day``; the last one stays the run's."""
    monkeypatch.setenv("METERING_TENANT_DIRECTORY", str(folder))
    load_directory(
        settings=IngestSettings.from_environment(),
        database_url=system.database_url,
        as_of=datetime.combine(day, datetime.min.time(), tzinfo=UTC),
        known_plans=known_plans(),
    )
    assert os.environ["METERING_TENANT_DIRECTORY"] == str(folder)
