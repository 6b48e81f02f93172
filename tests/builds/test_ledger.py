"""How old the data of a build are: the oldest of the tables that their providers owed an answer for; and which days wait for a build."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Any

import psycopg
import pytest

from builds import ledger
from ingestion.windows import Window

DAY = date(2026, 11, 20)
TABLES = ("sendgrid_stats", "sendgrid_category_stats", "openai_costs", "never_read")


@pytest.fixture
def connection(database: str) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(database, autocommit=True) as found:
        yield found


def read(connection: psycopg.Connection[Any], table: str, provider: str, hour: int) -> None:
    connection.execute(
        "insert into ops.source_reads (table_name, account_id, usage_date, provider, load_id, answered_at, row_count, rejected_count)"
        " values (%s, 'a', %s, %s, 'l', %s, 0, 0)",
        (table, DAY, provider, at(hour)),
    )


def run(connection: psycopg.Connection[Any], provider: str, hour: int, status: str = "ok") -> None:
    connection.execute(
        "insert into ops.ingest_runs (load_id, provider, window_start, window_end, started_at, finished_at, status)"
        " values (%s, %s, %s, %s, %s, %s, %s)",
        (f"{provider}{hour}", provider, DAY, DAY, at(hour), at(hour), status),
    )


def at(hour: int) -> datetime:
    return datetime(2026, 11, 20, hour, tzinfo=UTC)


def data_as_of(connection: psycopg.Connection[Any]) -> datetime | None:
    ledger.begin_build(connection, "build", Window.of_days(DAY, DAY), at(12), TABLES)
    row = connection.execute("select data_as_of from ops.builds").fetchone()
    assert row is not None
    found: datetime | None = row[0]
    return found


def test_the_oldest_of_the_sources_last_reads(connection: psycopg.Connection[Any]) -> None:
    assert data_as_of(connection) is None
    read(connection, "sendgrid_stats", "sendgrid", 9)
    read(connection, "openai_costs", "openai", 7)
    run(connection, "sendgrid", 8)
    run(connection, "openai", 6)
    assert data_as_of(connection) == at(7)


def test_a_table_that_is_asked_no_more_holds_nothing_back(connection: psycopg.Connection[Any]) -> None:
    read(connection, "sendgrid_category_stats", "sendgrid", 1)
    read(connection, "sendgrid_stats", "sendgrid", 9)
    assert data_as_of(connection) == at(1)
    run(connection, "sendgrid", 8, status="failed")  # it may have been owed, and did not come
    assert data_as_of(connection) == at(1)
    run(connection, "sendgrid", 7)
    assert data_as_of(connection) == at(9)


def test_a_day_that_was_answered_for_waits_for_a_build(connection: psycopg.Connection[Any], database: str) -> None:
    day, build = Window.of_days(DAY, DAY), "the build"
    ledger.begin_ingest(database, "twilio", day)
    assert not ledger.has_unbuilt_days(database, day)  # not answered for: there is nothing to build
    ledger.end_ingest(database, "twilio", day.days())
    assert ledger.has_unbuilt_days(database, day)
    assert not ledger.has_unbuilt_days(database, Window(day.end, day.end + timedelta(days=1)))
    ledger.begin_build(connection, build, day, at(12), TABLES)
    ledger.end_build(connection, build, ok=True)
    assert not ledger.has_unbuilt_days(database, day)


def test_a_build_that_ended_badly_leaves_days_unfinished_until_their_month_is_closed(
    connection: psycopg.Connection[Any],
) -> None:
    old = DAY - timedelta(days=31)
    for number, (day, ok) in enumerate(((old, False), (DAY, False), (DAY + timedelta(days=1), True))):
        ledger.begin_build(connection, f"build{number}", Window.of_days(day, day), at(12), TABLES)
        ledger.end_build(connection, f"build{number}", ok=ok)
        connection.execute("insert into ops.built_days (usage_date, build_id) values (%s, %s)", (day, f"build{number}"))
    assert ledger.unfinished_days(connection) == Window.of_days(old, DAY)
    connection.execute(
        "insert into ops.closed_months (month, first_day, last_day, closed_at, closed_by, code_version, previous_root, item_count, root)"
        " values ('2026-10', '2026-10-01', '2026-10-31', now(), 'test', 'test', '', 0, '')"
    )
    assert ledger.unfinished_days(connection) == Window.of_days(DAY, DAY)
