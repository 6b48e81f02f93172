"""A closed month in files and back: nobody who reads marts, explanations or the chain sees a difference; what cannot be is refused in a line."""

from __future__ import annotations

import hashlib
import json
import re
import time
from collections.abc import Callable
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pytest

from archive.tables import EVENTS, archived_tables
from cli.explain import explained
from ingestion.config import IngestSettings
from ingestion.failures import MonthArchived
from ingestion.windows import Window
from orchestration.assets.ingestion import ingest_window
from sandbox.events.tracked import tracked_events
from tests.e2e.system import System
from usage_metering.clock import as_of
from usage_metering.events import UsageEvent
from usage_metering.pii import Hasher
from usage_metering.store import Store, chunks, event_line

Metering = Callable[..., tuple[object, str, str]]
FIRST, LAST = "2026-09-25", "2026-11-10"
REFUSED = "metering: 2026-10 is archived: run `metering restore 2026-10` first\n"
# In each of these the month's rows, all that is said of them, in whatever order.
ROWS = (
    "select coalesce(md5(string_agg(t::text, e'\\n' order by t::text)), ''), count(*) from raw.{} as t"
    " where usage_date between '2026-10-01' and '2026-10-31'"
)
EXPLAINED_DAYS = ("2026-10-01", "2026-10-15", "2026-10-31", "2026-11-01")


def raw_of_october(system: System) -> dict[str, tuple[Any, ...]]:
    return {table.name: system.query(ROWS.format(table.name))[0] for table in archived_tables()}


def explanations(system: System) -> str:
    """Every line of some days with all of its records, as the API gives them. Of all days, as the view has them, `System.marts` has them."""
    lines = [
        explained(tenant, date.fromisoformat(day), None, None)
        for day in EXPLAINED_DAYS
        for (tenant,) in system.query("select tenant_id from marts.tenants order by 1")
    ]
    return hashlib.sha256(json.dumps(lines, default=str).encode()).hexdigest()


def freshness(system: System) -> list[tuple[Any, ...]]:
    """What `/metrics`, the doctor and the owner's pages say of what was read, and of days that are not done."""
    names = "metering_(source|undone|rejected|days_touched|events_pending).*"
    return [
        *system.query("select name, labels, value from ops.metrics(now(), 3) where name ~ %s order by 1, 2", names),
        *system.query("select * from ops.source_days order by 1, 2"),
        *system.query("select * from ops.source_reads order by 1, 2, 3"),
    ]


def event_of(message: dict[str, Any], day: str, tenant: str) -> UsageEvent:
    return UsageEvent.make(
        service="twilio_sms",
        operation="outbound",
        channel="sms",
        direction="outbound",
        tenant_id=tenant,
        units=1,
        feature="around_midnight",
        external_id=str(message["sid"]),
        now=as_of(),
        occurred_at=f"{day}T23:59:59+00:00",
    )


def bring(system: System, events: list[UsageEvent]) -> Any:
    store = Store(system.database_url)
    try:
        loaded = [
            store.load(lines, prefix="test")
            for lines in chunks((event_line(event, time.time()) for event in events), 20_000)
        ]
    finally:
        store.close()
    return loaded


def sent_on(system: System, day: str) -> dict[str, Any]:
    """Return a message of that day that nobody has tracked."""
    ((sid,),) = system.query(
        "select sid from raw.twilio_messages as t where usage_date = %s and direction = 'outbound-api' and status = 'delivered'"
        " and num_media = 0 and not exists (select from raw.usage_events as e where e.record_key = t.sid) order by sid limit 1",
        day,
    )
    return {"sid": sid}


Sums = dict[tuple[str, str], tuple[Any, ...]]


def sums_of_october(system: System) -> Sums:
    return {
        (table, column): system.query(
            f"select sum({column}), count({column}) from raw.{table} where usage_date between '2026-10-01' and '2026-10-31'"
        )[0]
        for table, column in (("twilio_messages", "price"), (EVENTS, "units"), ("openai_costs", "amount"))
    }


def is_read_by_duckdb_to_the_last_digit(folder: Path, wanted: Sums) -> None:
    for (table, column), (total, count) in wanted.items():
        relation = duckdb.read_parquet(str(folder / f"{table}.parquet"))
        assert str(dict(zip(relation.columns, relation.types, strict=True))[column]) == "DECIMAL(38,18)"
        assert relation.aggregate(f"sum({column}), count({column})").fetchone() == (total, count)
    events = duckdb.read_parquet(str(folder / "usage_events.parquet"))
    assert events.filter("service = 'internal' and operation = 'made'").order("units").project("units").fetchall() == [
        (Decimal("0.000000037500000001"),),
        (Decimal("12345678901234567890.123456789012345678"),),
    ]


@pytest.fixture
def archiving(built_system: System, metering: Metering, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> System:
    """October closed, with tracked events, some of another month than their records; where to archive is set."""
    system = built_system
    monkeypatch.setenv("METERING_ARCHIVE_URL", str(tmp_path / "archive"))
    tenant = system.directory.joinpath("tenants.csv").read_text().splitlines()[1].split(",")[0]
    bring(system, list(tracked_events(system.sandbox.dataset, as_of(), Hasher("a key for tests"))))
    pairs = (
        ("2026-10-31", "2026-11-01"),
        ("2026-11-01", "2026-10-31"),
        ("2026-09-30", "2026-10-01"),
        ("2026-10-01", "2026-09-30"),
    )
    for recorded, tracked in pairs:
        bring(system, [event_of(sent_on(system, recorded), tracked, tenant)])
    # A quantity of all digits, and one that a float does not have.
    for units in ("12345678901234567890.123456789012345678", "0.000000037500000001"):
        event = UsageEvent.make(service="internal", operation="made", now=as_of(), channel="internal", tenant_id=tenant, units=Decimal(units),
                                occurred_at="2026-10-20T10:00:00+00:00", idempotency_key=f"key {units}")  # fmt: skip
        bring(system, [event])
    system.refresh(FIRST, LAST, only="build")
    code, _, err = metering("close", "2026-10", "--accept-provisional", "--by", "the accountant")
    assert (code, err) == (0, "")
    return system


@pytest.mark.timeout(900)
def test_a_month_goes_to_files_and_comes_back_as_it_was(
    archiving: System, metering: Metering, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    system, folder = archiving, tmp_path / "archive" / "2026-10"
    marts, lines, raw = system.marts(), explanations(system), raw_of_october(system)
    assert marts["usage_line_records"]
    read, sums = freshness(system), sums_of_october(system)
    code, verified, err = metering("close", "verify", "2026-10", "--strict")
    assert (code, err) == (0, "")
    assert all(raw[table][1] for table in ("twilio_messages", "twilio_calls", "stripe_balance_transactions", EVENTS))

    code, out, err = metering("archive", "2026-10")
    assert (code, err) == (0, "")
    total = sum(count for _, count in raw.values())
    found = re.fullmatch(
        rf"2026-10 is archived: {total:,} rows, [0-9,]+ bytes in {folder}; ([0-9,]+) stay in raw .*\n", out
    )
    assert found is not None, out
    left = raw_of_october(system)
    assert sum(count for _, count in left.values()) == int(found[1].replace(",", ""))
    # What other months ask for is a small part, but for Stripe's charges.
    assert left["twilio_messages"][1] < raw["twilio_messages"][1] / 10
    assert left[EVENTS][1] < raw[EVENTS][1] / 2
    files = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()}
    manifest = json.loads((folder / "manifest.json").read_text())
    assert {file["name"]: file["sha256"] for file in manifest["files"]} == {
        name: digest for name, digest in files.items() if name != "manifest.json"
    }
    assert {file["table"]: file["rows"] for file in manifest["files"]} == {
        table: count for table, (_, count) in raw.items() if count
    }
    is_read_by_duckdb_to_the_last_digit(folder, sums)
    assert metering("archive", "2026-10")[1] == f"2026-10 is archived already: {total:,} rows in {folder}\n"

    # Figures and explanations stand, and so do those of days beside it that are built anew.
    assert system.marts() == marts
    assert explanations(system) == lines
    assert freshness(system) == read
    system.refresh(FIRST, "2026-09-30", only="build")
    system.refresh("2026-11-01", LAST)
    assert system.marts() == marts
    assert explanations(system) == lines
    # What would read the month is told what to do, and changes nothing.
    for command in (
        ("close", "verify", "2026-10"),
        ("rebuild", "--from", "2026-10-31", "--to", "2026-11-01"),
        ("rebuild", "--from", "2026-10-05", "--to", "2026-10-05", "--only", "build"),
        ("what-if", "--plan", "pro", "--month", "2026-10"),
    ):
        assert metering(*command) == (1, "", REFUSED), command
    with pytest.raises(MonthArchived):
        ingest_window(
            "twilio",
            Window.of_days(date(2026, 10, 30), date(2026, 11, 2)),
            system.database_url,
            IngestSettings.from_environment(),
            "run",
        )
    assert (system.marts(), raw_of_october(system)) == (marts, left)

    # An event that comes again is a repeat.
    again = next(
        event
        for event in tracked_events(system.sandbox.dataset, as_of(), Hasher("a key for tests"))
        if event.occurred_at.month == 10
    )
    (loaded,) = bring(system, [again])
    assert (loaded.inserted, loaded.duplicates) == (0, 1)

    # A file that is damaged, or is not there, is named; nothing comes back.
    file = folder / "twilio_calls.parquet"
    whole = file.read_bytes()
    file.write_bytes(whole[:100] + bytes([whole[100] ^ 1]) + whole[101:])
    (folder / "stripe_balance_transactions.parquet").rename(tmp_path / "away")
    code, out, err = metering("restore", "2026-10")
    assert (code, out) == (1, "")
    assert re.search(rf"{folder}/stripe_balance_transactions.parquet is missing", err)
    assert re.search(rf"{folder}/twilio_calls.parquet is damaged", err)
    assert raw_of_october(system) == left
    file.write_bytes(whole)
    (tmp_path / "away").rename(folder / "stripe_balance_transactions.parquet")
    changed = (folder / "manifest.json").read_text().replace('"rows": ', '"rows": 1')
    kept = (folder / "manifest.json").read_text()
    (folder / "manifest.json").write_text(changed)
    code, _, err = metering("restore", "2026-10")
    assert code == 1
    assert f"{folder}/manifest.json is not what was written" in err
    (folder / "manifest.json").write_text(kept)

    code, out, err = metering("restore", "2026-10")
    assert (code, out, err) == (0, f"2026-10 is restored: {total - int(found[1].replace(',', '')):,} rows\n", "")
    assert raw_of_october(system) == raw
    assert metering("close", "verify", "2026-10", "--strict") == (0, verified, "")
    assert metering("restore", "2026-10")[:2] == (0, "2026-10 is not archived: its records are in the database\n")
    # Built from them again, they make the same marts, and nothing to adjust.
    system.refresh("2026-09-29", "2026-11-02", only="build")
    assert system.marts() == marts
    assert explanations(system) == lines
    assert system.query("select count(*) from ops.cost_adjustments") == [(0,)]

    # The same rows are the same files.
    monkeypatch.setenv("METERING_RAW_RETENTION_MONTHS", "1")
    assert metering("archive")[1] == (
        "2026-09 stays: it is not closed\nno closed month is older than METERING_RAW_RETENTION_MONTHS and not archived\n"
    )
    monkeypatch.setenv("METERING_AS_OF", "2026-12-10T12:00:00+00:00")
    assert metering("archive")[0] == 0
    assert {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()} == files
    assert raw_of_october(system) == left


def test_what_the_archive_needs_is_said_in_a_line(
    built_system: System, metering: Metering, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    system = built_system
    assert (
        metering("archive", "2026-10")[2]
        == "metering: METERING_ARCHIVE_URL is not set: name a folder, or s3://bucket/prefix\n"
    )
    monkeypatch.setenv("METERING_ARCHIVE_URL", "nothing://key:secret@host")
    code, _, err = metering("archive", "2026-10")
    assert code == 2
    assert "METERING_ARCHIVE_URL must be a folder" in err
    assert "secret" not in err
    monkeypatch.setenv("METERING_ARCHIVE_URL", str(tmp_path / "archive"))
    assert metering("archive", "2026-10")[2] == "metering: 2026-10 is not closed: run `metering close 2026-10` first\n"
    assert metering("archive")[2].startswith("metering: METERING_RAW_RETENTION_MONTHS is not set, so all is kept")
    monkeypatch.setenv("METERING_RAW_RETENTION_MONTHS", "0")
    assert metering("archive")[2].startswith("metering: METERING_RAW_RETENTION_MONTHS must be a whole number")
    assert metering("restore", "2026-10")[:2] == (0, "2026-10 is not archived: its records are in the database\n")
    assert system.query("select count(*) from ops.archived_months") == [(0,)]
