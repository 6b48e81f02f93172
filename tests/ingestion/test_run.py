"""A run replaces exactly what the provider answered for, in one transaction, whatever else is going on."""

from __future__ import annotations

import json
import logging
import os
import random
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import psutil
import psycopg
import pytest

from ingestion.database import connect
from ingestion.failures import MonthArchived
from ingestion.load import staging
from ingestion.load.staging import stage
from ingestion.run import PROVIDERS, IngestResult, kept_by
from ingestion.sources import account_days, twilio
from ingestion.sources.registry import SOURCES
from ingestion.windows import Window
from tests.ingestion.ingesting import AS_OF, DAY, FIRST, LAST, WINDOW, Ingest
from tests.paths import python_path
from tests.proof import IS_PROOF, all_in_proof
from usage_metering.failures import ConfigError

TABLES = [table for spec in PROVIDERS.values() for table in spec.tables]
ROOT = Path(__file__).parents[2]


def everything(ingest: Ingest) -> dict[str, set[str]]:
    return ingest.stored_in(TABLES)


def truncate(ingest: Ingest) -> None:
    ingest.query("truncate " + ", ".join(f"raw.{table}" for table in TABLES))


def schemas(ingest: Ingest) -> list[str]:
    return [name for (name,) in ingest.query("select nspname from pg_namespace where nspname ~ '^load_' order by 1")]


def the_day(ingest: Ingest, table: str, day: date = DAY) -> set[str]:
    return {line for line in ingest.stored(table) if f'"usage_date": "{day}"' in line}


@pytest.mark.parametrize("provider", PROVIDERS)
def test_a_rebuild_changes_nothing_and_leaves_nothing_behind(ingest: Ingest, provider: str) -> None:
    first = ingest.run(provider)
    before = everything(ingest)
    second = ingest.run(provider)
    assert (first.status, second.status) == ("ok", "ok")
    assert first.load_id != second.load_id
    assert everything(ingest) == before
    assert schemas(ingest) == []
    assert (
        ingest.query("select status, window_start, window_end from ops.ingest_runs")
        == [("ok", WINDOW.start, WINDOW.end)] * 2
    )


@pytest.mark.parametrize("provider", PROVIDERS)
def test_the_order_and_the_cut_of_windows_do_not_matter(ingest: Ingest, provider: str) -> None:
    ingest.run(provider)
    whole = everything(ingest)
    truncate(ingest)
    for first, last in ((DAY, LAST), (FIRST, DAY)):
        ingest.run(provider, Window.of_days(first, last))
    assert everything(ingest) == whole


def test_a_long_read_that_comes_in_parts_gives_the_same(ingest: Ingest, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = ingest.run("twilio")
    before, reads = (
        everything(ingest),
        ingest.query("select table_name, account_id, usage_date, row_count from ops.source_reads order by 1, 2, 3"),
    )
    monkeypatch.setattr(account_days, "ROWS_PER_TABLE", 5)
    monkeypatch.setattr(twilio, "ROWS_PER_SLICE", 20)
    parts: list[object] = []
    monkeypatch.setattr("ingestion.load.parts.stage", lambda source, **to: (parts.append(source), stage(source, **to)))
    truncate(ingest)
    ingest.query("truncate ops.source_reads")
    result = ingest.run("twilio")
    assert len(parts) > 2
    assert result.status == "ok"
    assert result.tables == whole.tables
    assert everything(ingest) == before
    assert (
        ingest.query("select table_name, account_id, usage_date, row_count from ops.source_reads order by 1, 2, 3")
        == reads
    )
    assert schemas(ingest) == []


def test_every_answered_unit_is_recorded_with_its_rows(ingest: Ingest) -> None:
    # SendGrid is asked about the directory's categories only.
    ingest.query(
        "insert into raw.tenant_resources (tenant_id, provider, resource_type, resource_id)"
        " values ('acme', 'sendgrid', 'category', 'news')"
    )
    for provider in PROVIDERS:
        ingest.run(provider)
    for owner, table in ((owner, table) for owner, spec in PROVIDERS.items() for table in spec.tables):
        if table in PROVIDERS[owner].held:
            continue
        rows = ingest.query(
            f"select r.provider, r.row_count, (select count(*) from raw.{table} as t where t.account_id = r.account_id"
            " and t.usage_date = r.usage_date) from ops.source_reads as r where r.table_name = %s",
            table,
        )
        assert rows, table
        assert all(provider == owner and recorded == found for provider, recorded, found in rows)


@pytest.mark.usefixtures("without_dlt")
def test_a_vanished_record_and_an_emptied_day_are_gone(ingest: Ingest) -> None:
    ingest.run("twilio")
    before, others = the_day(ingest, "twilio_messages"), everything(ingest)
    sid = ingest.message()["sid"]
    ingest.sandbox.delete("twilio_messages", sid=sid)
    assert ingest.run("twilio").status == "ok"
    assert [json.loads(line)["sid"] for line in before - the_day(ingest, "twilio_messages")] == [sid]
    wanted = DAY.strftime("%d %b %Y")
    for message in list(ingest.sandbox.dataset.twilio_messages):
        if wanted in str(message["date_sent"]):
            ingest.sandbox.delete("twilio_messages", sid=message["sid"])
    result = ingest.run("twilio", Window.of_days(DAY, DAY))
    assert (result.status, result.tables["twilio_messages"].rows) == ("ok", 0)
    assert the_day(ingest, "twilio_messages") == set()
    assert others["twilio_messages"] - ingest.stored("twilio_messages") == before
    assert ingest.stored("twilio_calls") == others["twilio_calls"]


@pytest.mark.usefixtures("without_dlt")
def test_a_late_record_and_a_filled_price_appear(ingest: Ingest) -> None:
    message = ingest.message() | {"price": None, "price_unit": None}
    ingest.sandbox.put("twilio_messages", message)
    ingest.run("twilio")
    late = message | {"sid": "SM" + "f" * 32}
    ingest.sandbox.put("twilio_messages", message | {"price": "-0.0079", "price_unit": "USD"}, late)
    ingest.run("twilio")
    found = ingest.query(
        "select sid, price::text from raw.twilio_messages where sid = any(%s) order by price",
        [message["sid"], late["sid"]],
    )
    assert found == [(message["sid"], "-0.007900000000000000"), (late["sid"], None)]


@pytest.mark.usefixtures("without_dlt")
def test_a_record_that_moved_leaves_its_old_day_and_names_it(ingest: Ingest) -> None:
    ingest.run("twilio")
    count = ingest.days("twilio_messages")
    built = "select built_at is not null from ops.source_days where usage_date = %s"
    ingest.query("insert into ops.source_days values ('twilio', %s, now(), now(), %s) returning 1", FIRST, FIRST)
    moved = ingest.message(FIRST) | {"date_sent": "Thu, 05 Nov 2026 10:00:00 +0000"}
    ingest.sandbox.put("twilio_messages", moved)
    result = ingest.run("twilio", Window.of_days(LAST, LAST))
    assert (result.status, result.moved_days) == ("ok", {FIRST})
    assert ingest.query(built, FIRST) == [(False,)], "said by the change itself, whoever is killed after it"
    after = ingest.days("twilio_messages")
    assert (after[FIRST], after[LAST]) == (count[FIRST] - 1, count[LAST] + 1)
    # Within one window it is no news: every day of it is built anyway.
    ingest.sandbox.put("twilio_messages", moved | {"date_sent": "Wed, 04 Nov 2026 10:00:00 +0000"})
    assert ingest.run("twilio").moved_days == set()


@pytest.mark.usefixtures("without_dlt")
def test_a_transaction_that_is_stored_on_another_day_moves_and_ends_no_run(ingest: Ingest) -> None:
    """Stripe never changes when one was made, but a test account that is filled anew may use an id again."""
    ingest.run("stripe")
    before = ingest.stored("stripe_balance_transactions")
    ingest.query(
        "update raw.stripe_balance_transactions set usage_date = '2026-10-01'"
        " where (account_id, id) = (select account_id, id from raw.stripe_balance_transactions order by usage_date limit 1)"
    )
    result = ingest.run("stripe")
    assert (result.status, result.moved_days) == ("ok", {date(2026, 10, 1)})
    assert ingest.stored("stripe_balance_transactions") == before


def record_event(ingest: Ingest, key: str, day: date, service: str) -> None:
    ingest.query(
        "insert into raw.usage_events (event_key, external_id, tenant_id, service, operation, channel, direction, source, units, occurred_at)"
        " values (%s, %s, 'acme', %s, 'outbound', 'sms', 'outbound', 'api', 1, %s)",
        f"event:{key}",
        key,
        service,
        f"{day} 12:00+00",
    )


@pytest.mark.parametrize("table", [table for spec in PROVIDERS.values() for table in spec.keyed])
@pytest.mark.usefixtures("without_dlt")
def test_a_record_marks_the_day_of_its_event_when_it_comes_and_when_it_goes(ingest: Ingest, table: str) -> None:
    provider, column = next((name, spec.keyed[table][-1]) for name, spec in PROVIDERS.items() if table in spec.keyed)
    ingest.run(provider)
    key, day = ingest.query(f"select {column}, usage_date from raw.{table} order by usage_date desc, 1 limit 1")[0]
    long_ago, same_day = day - timedelta(days=35), "unknown to the provider"
    service = {"twilio_messages": "twilio_sms", "stripe_balance_transactions": "stripe"}.get(table, "twilio_voice")
    record_event(ingest, key, long_ago, service)
    record_event(ingest, same_day, day, service)

    def touched() -> list[tuple[date, str]]:
        found = ingest.query("select usage_date, load_id from ops.touched_days order by 1")
        ingest.query("truncate ops.touched_days")
        return found

    assert ingest.run(provider).status == "ok"
    assert touched() == [], "a record that was there before is no news"
    ingest.query(f"delete from raw.{table} where {column} = %s", key)
    result = ingest.run(provider)
    assert touched() == [(long_ago, result.load_id)]
    ingest.query(f"truncate raw.{table}")
    result = ingest.run(provider)
    assert touched() == [(long_ago, result.load_id)], "one that is the first of its day comes, too"
    ingest.query(f"update raw.{table} set {column} = %s where {column} = %s", same_day, key)
    record_event(ingest, "gone", long_ago - timedelta(days=1), service)
    ingest.query(
        f"insert into raw.{table} select (jsonb_populate_record(t, jsonb_build_object(%s::text, 'gone'))).*"
        f" from raw.{table} as t where {column} = %s",
        column,
        same_day,
    )
    result = ingest.run(provider)
    assert touched() == [(long_ago - timedelta(days=1), result.load_id), (long_ago, result.load_id)]


def test_the_tables_that_events_name_records_of_are_the_same_on_both_sides(ingest: Ingest) -> None:
    known = {(table, columns[-1]) for spec in PROVIDERS.values() for table, columns in spec.keyed.items()}
    assert known <= set(ingest.query("select table_name, key_column from ops.record_tables"))


@pytest.mark.parametrize(
    ("fault", "provider", "table", "unanswered"),
    [
        pytest.param(
            {"match": f"DateSent>={DAY}", "status": 500}, "twilio", "twilio_messages", [DAY], id="a day's list fails"
        ),
        pytest.param(
            {"match": f"StartTime>={DAY}", "status": 429}, "twilio", "twilio_calls", [DAY], id="throttled for good"
        ),
        pytest.param({"match": f"DateSent>={DAY}", "cut": "middle"}, "twilio", "twilio_messages", [DAY], id="cut"),
        pytest.param(
            {"match": "/Messages.json", "status": 401}, "twilio", "twilio_messages", WINDOW.days(), id="no access"
        ),
        pytest.param(
            {"match": "/costs", "status": 500}, "openai", "openai_costs", WINDOW.days(), id="one endpoint fails"
        ),
        pytest.param({"match": "/v3/stats", "status": 503}, "sendgrid", "sendgrid_stats", WINDOW.days(), id="parent"),
    ],
)
@pytest.mark.usefixtures("without_dlt")
def test_what_is_not_answered_stays_and_the_rest_is_replaced(
    ingest: Ingest, fault: dict[str, Any], provider: str, table: str, unanswered: list[date]
) -> None:
    ingest.run(provider)
    # Whatever is replaced loses this mark, and what the provider does not say is replaced.
    for name in PROVIDERS[provider].tables:
        ingest.mark(name, "old")
    kept = {day: the_day(ingest, table, day) for day in unanswered}
    ingest.sandbox.faults.add(**{"count": None, **fault})
    result = ingest.run(provider)
    assert result.status == "failed"
    assert result.error is not None
    assert "\n" not in result.error
    assert result.tables[table].unanswered == unanswered
    assert {day: the_day(ingest, table, day) for day in unanswered} == kept
    old = ingest.query(f"select distinct usage_date from raw.{table} where load_id = 'old'")
    assert {day for (day,) in old} == {day for day in unanswered if kept[day]}
    for other in set(PROVIDERS[provider].tables) - {table}:
        assert ingest.query(f"select count(*) from raw.{other} where load_id = 'old'") == [(0,)]
    assert ingest.query("select status, error from ops.ingest_runs where load_id = %s", result.load_id) == [
        ("failed", result.error)
    ]


@pytest.mark.usefixtures("without_dlt")
def test_an_unread_page_is_no_answer(ingest: Ingest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ingestion.sources.twilio.PAGE_SIZE", 20)
    ingest.run("twilio")
    before = ingest.stored("twilio_messages")
    assert any("PageToken" in request for request in ingest.sandbox.requests)
    ingest.sandbox.delete("twilio_messages", sid=ingest.message()["sid"])
    ingest.sandbox.faults.add("Page=2", status=500, count=None)
    result = ingest.run("twilio")
    assert result.status == "failed"
    assert ingest.stored("twilio_messages") == before


@pytest.mark.usefixtures("without_dlt")
def test_the_pages_of_a_list_are_all_read(ingest: Ingest, monkeypatch: pytest.MonkeyPatch) -> None:
    ingest.run("twilio")
    whole = everything(ingest)
    truncate(ingest)
    monkeypatch.setattr("ingestion.sources.twilio.PAGE_SIZE", 7)
    monkeypatch.setattr(account_days, "ROWS_PER_TABLE", 50)
    ingest.run("twilio")
    assert everything(ingest) == whole


@pytest.mark.parametrize("headers", [{}, {"Retry-After": "1"}])
@pytest.mark.usefixtures("without_dlt")
def test_a_request_that_is_throttled_once_is_waited_out(ingest: Ingest, headers: dict[str, str]) -> None:
    ingest.sandbox.faults.add(f"DateSent>={DAY}", status=429, headers=headers, count=1)
    started = time.monotonic()
    assert ingest.run("twilio", Window.of_days(DAY, DAY)).status == "ok"
    assert time.monotonic() - started >= int(headers.get("Retry-After", 0))


@pytest.mark.parametrize("provider", PROVIDERS)
@pytest.mark.usefixtures("without_dlt")
def test_wrong_credentials_fail_the_provider_and_name_the_variables(ingest: Ingest, provider: str) -> None:
    variable = next(name for name in PROVIDERS[provider].required_variables if name.endswith(("_KEY", "_TOKEN")))
    ingest.run(provider)
    before = everything(ingest)
    ingest.variables[variable] = "not-the-s3cret"
    result = ingest.run(provider)
    assert result.status == "failed"
    assert result.error is not None
    assert variable in result.error
    assert "s3cret" not in result.error
    assert everything(ingest) == before


@pytest.mark.parametrize("provider", PROVIDERS)
def test_a_provider_without_credentials_is_skipped(
    ingest: Ingest, provider: str, caplog: pytest.LogCaptureFixture
) -> None:
    for variable in PROVIDERS[provider].required_variables:
        ingest.variables[variable] = ""
    with caplog.at_level(logging.WARNING, logger="metering.ingest"):
        result = ingest.run(provider)
    assert result.status == "skipped"
    assert result.error is not None
    assert all(variable in result.error for variable in PROVIDERS[provider].required_variables)
    assert len(caplog.records) == 1
    assert ingest.sandbox.requests == []


@pytest.mark.usefixtures("without_dlt")
def test_a_window_past_the_as_of_day_is_the_callers_error(ingest: Ingest) -> None:
    as_of = datetime(2026, 11, 4, 22, tzinfo=UTC).astimezone(datetime.fromisoformat("2026-11-05T00:00+09:00").tzinfo)
    with pytest.raises(ConfigError, match="reaches past the as-of day 2026-11-04"):
        ingest.run("openai", Window.of_days(LAST, LAST), as_of=as_of)
    assert ingest.run("openai", Window.of_days(DAY, date(2026, 11, 4)), as_of=as_of).status == "ok"


@pytest.mark.usefixtures("without_dlt")
def test_days_beyond_retention_are_not_asked_for_and_stay(ingest: Ingest, monkeypatch: pytest.MonkeyPatch) -> None:
    ingest.run("openai")
    before = ingest.days("openai_costs")
    days = (AS_OF.date() - DAY).days
    kept = replace(SOURCES["openai"], spec=replace(PROVIDERS["openai"], retention_days=days))
    monkeypatch.setitem(SOURCES, "openai", kept)
    ingest.sandbox.dataset.openai_costs.clear()
    ingest.sandbox.put("openai_projects", *ingest.sandbox.dataset.openai_projects)  # has the sandbox look again
    assert ingest.run("openai").status == "ok"
    assert ingest.days("openai_costs") == {day: count for day, count in before.items() if day < DAY}
    requests = len(ingest.sandbox.requests)
    assert ingest.run("openai", Window.of_days(FIRST, FIRST)).status == "ok"
    assert len(ingest.sandbox.requests) == requests


@pytest.mark.parametrize(
    ("retention", "wanted"),
    [(None, WINDOW), (100, WINDOW), (17, Window.of_days(DAY, LAST)), (15, Window.of_days(LAST, LAST)), (14, None)],
)
def test_the_part_of_a_window_that_is_kept(retention: int | None, wanted: Window | None) -> None:
    assert kept_by(replace(PROVIDERS["openai"], retention_days=retention), WINDOW, AS_OF.date()) == wanted


@pytest.mark.parametrize("provider", all_in_proof(list(PROVIDERS), ["twilio"]))
def test_ingests_at_once_of_equal_and_of_overlapping_windows_all_succeed(ingest: Ingest, provider: str) -> None:
    ingest.run(provider)
    wanted = everything(ingest)
    truncate(ingest)
    windows = [WINDOW, WINDOW, Window.of_days(FIRST, DAY), Window.of_days(DAY, LAST)]
    script = [
        sys.executable,
        "-c",
        "import sys; from datetime import date, datetime; from ingestion.config import IngestSettings;"
        " from ingestion.run import ingest_provider; from ingestion.windows import Window;"
        " r = ingest_provider(sys.argv[1], Window(*map(date.fromisoformat, sys.argv[2:4])),"
        " settings=IngestSettings.from_environment(), database_url=sys.argv[4], as_of=datetime.fromisoformat(sys.argv[5]));"
        " print(r.status)",
    ]
    # Processes, as orchestration has them: dlt's working state is one per process.
    with ThreadPoolExecutor(len(windows)) as threads:
        done = list(
            threads.map(
                lambda window: subprocess.run(
                    [*script, provider, str(window.start), str(window.end), ingest.url, AS_OF.isoformat()],
                    env=environment(ingest),
                    cwd=ROOT,
                    capture_output=True,
                    text=True,
                    timeout=120,
                ),
                windows,
            )
        )
    assert [run.stdout.strip() for run in done] == ["ok"] * len(windows), [run.stderr[-2000:] for run in done]
    assert everything(ingest) == wanted
    assert schemas(ingest) == []


def environment(ingest: Ingest) -> dict[str, str]:
    return {
        **os.environ,
        **ingest.sandbox.environment(),
        "METERING_TENANT_DIRECTORY": "/nowhere",
        "METERING_PII_KEY": "key",
        "PYTHONPATH": python_path(),
    }


KILLED = """
import sys
from datetime import date, datetime
from ingestion.config import IngestSettings
from ingestion.run import ingest_provider
from ingestion.windows import Window
settings = IngestSettings.from_environment()
print("ready", flush=True)
sys.stdin.readline()
ingest_provider(
    "twilio", Window(*map(date.fromisoformat, sys.argv[1:3])), settings=settings, database_url=sys.argv[3],
    as_of=datetime.fromisoformat(sys.argv[4]),
)
print("done", flush=True)
"""


def start(ingest: Ingest) -> subprocess.Popen[str]:
    """Start a process that ingests Twilio's window; it has just begun."""
    arguments = [str(WINDOW.start), str(WINDOW.end), ingest.url, AS_OF.isoformat()]
    child = subprocess.Popen(
        [sys.executable, "-c", KILLED, *arguments],
        env=environment(ingest),
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert child.stdin is not None
    assert child.stdout is not None
    assert child.stdout.readline() == "ready\n"
    child.stdin.write("go\n")
    child.stdin.flush()
    return child


def kill(child: subprocess.Popen[str]) -> None:
    """SIGKILL ``child``; it has no child of its own that lives on."""
    family = psutil.Process(child.pid).children(recursive=True) if child.poll() is None else []
    child.send_signal(signal.SIGKILL)
    child.wait()
    _, survivors = psutil.wait_procs(family, timeout=5)
    assert survivors == []


def late(ingest: Ingest, number: int) -> None:
    """Add a message to the sandbox, so that a run has something to change."""
    ingest.sandbox.put("twilio_messages", ingest.message() | {"sid": f"SM{number:032x}"})


@pytest.mark.parametrize(
    "table",
    all_in_proof(
        ["twilio_messages", "twilio_calls", "twilio_phone_numbers", "rejected_records"],
        ["twilio_messages", "rejected_records"],
    ),
)
def test_killed_within_the_swap_a_run_changes_nothing(ingest: Ingest, table: str) -> None:
    ingest.run("twilio")
    before = everything(ingest)
    late(ingest, 1)
    if table == "twilio_calls":
        # What is as it was is not written.
        answered = next(
            call for call in ingest.sandbox.dataset.twilio_calls if "04 Nov 2026" in str(call["start_time"])
        )
        ingest.sandbox.put(table, answered | {"price": "-9.00000"})
    with psycopg.connect(ingest.url) as blocker:
        # The swap goes as far as this table and waits there, in the middle of its transaction.
        blocker.execute(f"lock table raw.{table} in share mode".encode())
        with start(ingest) as child:
            until(
                ingest,
                "exists (select 1 from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock')",
            )
            kill(child)
    idle(ingest)
    assert everything(ingest) == before
    assert len(schemas(ingest)) == 1  # what it had staged, for a later run to sweep
    after = ingest.run("twilio")
    assert after.status == "ok"
    assert len(everything(ingest)["twilio_messages"] - before["twilio_messages"]) == 1


@pytest.mark.timeout(240)
def test_killed_at_any_moment_a_run_leaves_raw_as_before_or_after(ingest: Ingest) -> None:
    began = time.monotonic()
    with start(ingest) as whole:
        assert whole.wait(timeout=60) == 0
    seconds = time.monotonic() - began
    chance = random.Random(7)
    before = everything(ingest)
    undisturbed = before
    kills = 6 if IS_PROOF else 2
    for number in range(kills):
        late(ingest, number)
        with start(ingest) as child:
            time.sleep(chance.uniform(0.2, 0.9) * seconds)
            kill(child)
        idle(ingest)
        found = everything(ingest)
        # Whole or not at all: the record that is new this time comes with those that killed runs have missed.
        gained = len(found["twilio_messages"]) - len(undisturbed["twilio_messages"])
        assert found == before or gained == number + 1
        # Twilio's own totals say that there is one more, too.
        moving = ("twilio_messages", "twilio_usage_records")
        assert all(found[name] == before[name] for name in TABLES if name not in moving)
        assert ingest.query("select sum(row_count) from ops.source_reads where table_name = 'twilio_messages'") == [
            (len(found["twilio_messages"]),)
        ]
        before = found
    assert ingest.run("twilio").status == "ok"
    assert len(ingest.stored("twilio_messages")) == len(undisturbed["twilio_messages"]) + kills


def idle(ingest: Ingest) -> None:
    """Wait until the server has noticed that a killed client is gone."""
    until(
        ingest,
        "not exists (select 1 from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid())",
    )


def until(ingest: Ingest, condition: str) -> None:
    """Wait for a condition in the database."""
    deadline = time.monotonic() + 60
    while ingest.query(f"select {condition}") != [(True,)]:
        assert time.monotonic() < deadline, condition
        time.sleep(0.02)


def test_what_killed_runs_left_is_swept_after_a_day_and_nobody_elses(ingest: Ingest) -> None:
    now = datetime.now(UTC)
    old, young = ((now - age).strftime("load_%Y%m%d%H%M%S_x_twilio") for age in (timedelta(days=2), timedelta(hours=2)))
    for name, owner in ((old, "metering_loader"), (young, "metering_loader"), ("load_1999_reports", "metering_loader")):
        ingest.query(f"create schema {name} authorization {owner}")
        ingest.query(f"create table {name}.t (n int)")
    foreign = "load_20200101000000_theirs"
    ingest.query(f"create schema {foreign}")
    assert ingest.run("openai").status == "ok"
    assert schemas(ingest) == ["load_1999_reports", foreign, young]


def test_a_clock_that_jumps_ahead_sweeps_no_run_that_is_alive(ingest: Ingest, monkeypatch: pytest.MonkeyPatch) -> None:
    ingest.run("twilio")
    # What was made just now was made two days ago, by the clock of whoever sweeps.
    monkeypatch.setattr(staging, "ABANDONED_AFTER", -timedelta(days=1))

    def sweep() -> None:
        with connect(ingest.url) as connection:
            staging.sweep(connection)

    with psycopg.connect(ingest.url) as blocker:
        blocker.execute("lock table raw.twilio_messages in share mode")
        late(ingest, 1)
        with start(ingest) as child:
            until(
                ingest,
                "exists (select 1 from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock')",
            )
            sweep()
            staged = schemas(ingest)
            blocker.rollback()
            assert child.wait(timeout=60) == 0
    assert len(staged) == 1
    left = staging.dataset_name("twilio", "killed") + "_0"
    ingest.query(f"create schema {left} authorization metering_loader")
    sweep()
    assert schemas(ingest) == []


def test_a_database_that_fails_is_raised_and_nothing_is_left(ingest: Ingest) -> None:
    ingest.run("twilio")
    before = everything(ingest)
    ingest.query("alter table raw.twilio_calls add constraint nothing check (load_id = 'x') not valid")
    ingest.sandbox.delete("twilio_messages", sid=ingest.message()["sid"])
    # A day of calls that is answered as it is stored is not written at all.
    call = ingest.sandbox.dataset.twilio_calls[0]
    ingest.sandbox.put("twilio_calls", call | {"price": "-0.5", "price_unit": "USD"})
    with pytest.raises(psycopg.errors.CheckViolation):
        ingest.run("twilio")
    assert everything(ingest) == before
    assert schemas(ingest) == []


def test_the_loader_works_in_its_own_role(ingest: Ingest) -> None:
    result: IngestResult = ingest.run("openai", Window.of_days(DAY, DAY))
    assert result.status == "ok"
    with psycopg.connect(ingest.url) as connection:
        connection.execute("set role metering_loader")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute("create table marts.mine (n int)")


def test_a_day_of_an_archived_month_is_not_replaced(ingest: Ingest) -> None:
    ingest.run("twilio")
    before = everything(ingest)
    ingest.query(
        "insert into ops.closed_months (month, first_day, last_day, closed_at, closed_by, code_version, previous_root, item_count, root)"
        " values ('2026-11', '2026-11-01', '2026-11-30', now(), '', '', '', 0, '')"
    )
    ingest.query("insert into ops.archived_months (month, row_count, manifest_sha256) values ('2026-11', 0, '')")
    ingest.sandbox.delete("twilio_messages")
    with pytest.raises(MonthArchived, match="2026-11 is archived: run `metering restore 2026-11` first"):
        ingest.run("twilio")
    assert everything(ingest) == before
    assert schemas(ingest) == []
