"""How old the data of a build are: the oldest of the tables that their providers owed an answer for; and which days wait for a build."""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Any

import psycopg
import pytest

from builds import ledger
from builds.ledger import HALF_MADE
from costs.alerts.evaluation import NEWEST_AS_OF
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


# What is asked of builds: what a client that asks for changes since an instant is told, by which build a day stands, whether its proof is
# of that, and the latest day that any knew of.
ASKED = {
    "since": "select instant, day::date from instants cross join days where exists (select from ops.built_windows"
    " where window_start <= day and window_end > day and coalesce(finished_at, 'infinity') > instant)",
    "last good": "select day, (select build_id from ops.builds where status = 'ok' and window_start <= day and window_end > day"
    " order by finished_at desc limit 1) from days",
    "last": "select day, (select build_id from ops.builds where window_start <= day and window_end > day order by started_at desc limit 1)"
    " from days",
    "proofs": "select usage_date, is_current, finished_at from ops.day_proofs",
    "known": NEWEST_AS_OF,
    "current": "select build_id, is_settled from ops.current_build",
    "half made": HALF_MADE.replace("%(statuses)s", "array['failed']"),
}


@pytest.mark.parametrize("seed", range(5))
def test_old_builds_of_which_nothing_is_left_go_and_no_answer_changes(
    connection: psycopg.Connection[Any], seed: int
) -> None:
    dice = random.Random(seed)
    began, today = datetime.now(UTC) - timedelta(days=90), DAY - timedelta(days=89)
    newest = ""
    for number in range(360):
        began += timedelta(hours=6)
        today += timedelta(days=number % 4 == 0)
        build, status = f"build {number}", dice.choices(("ok", "failed"), (9, 1))[0]
        is_standing = bool(newest) and status == "ok" and dice.random() < 0.5
        # Now and then of other days, or by a clock that was pinned to another day.
        first = today - timedelta(days=dice.choice((3, 3, 3, 3, 30)))
        as_of = began + timedelta(days=dice.choice((0, 0, 0, 0, 0, 0, -20, 20)))
        connection.execute(
            "insert into ops.builds (build_id, window_start, window_end, as_of, started_at, finished_at, status, stands_on)"
            " values (%s, %s, %s, %s, %s, %s, %s, %s)",
            (
                *(build, first, today + timedelta(days=1), as_of, began, began + timedelta(minutes=9), status),
                newest if is_standing else None,
            ),
        )
        if not is_standing:
            newest = build if status == "ok" else newest
            connection.execute(
                "insert into ops.built_days (usage_date, price_version, code_version, build_id)"
                " select day, '', '', %(build)s from generate_series(%(first)s::date, %(today)s::date, interval '1 day') as day"
                " on conflict (usage_date) do update set build_id = excluded.build_id",
                {"build": build, "first": first, "today": today - timedelta(days=dice.choice((0, 0, 2)))},
            )
        if dice.random() < 0.2:
            connection.execute(
                "insert into ops.proofs (proof_id, usage_date, build_id, as_of, started_at, finished_at, status, rows_compared)"
                " values (%(id)s, %(day)s, %(id)s, %(at)s, %(at)s, %(at)s, 'equal', 1)",
                {"id": build, "day": today - timedelta(days=dice.randrange(9)), "at": began + timedelta(hours=1)},
            )
    connection.execute(
        "create temporary table days as select day::date from generate_series(%s::date, %s::date, interval '1 day') as day",
        (DAY - timedelta(days=130), DAY + timedelta(days=3)),
    )
    connection.execute(
        "create temporary table instants as select started_at + interval '1 minute' as instant from ops.builds"
    )

    def answers() -> dict[str, list[Any]]:
        return {name: sorted(connection.execute(query.encode()).fetchall(), key=repr) for name, query in ASKED.items()}

    before = answers()
    assert all(before.values())
    connection.execute(ledger.FORGOTTEN.encode(), {"days": ledger.KEPT_DAYS})
    assert answers() == before
    ((old, kept),) = connection.execute(
        "select count(*) filter (where finished_at < now() - interval '30 days'), count(*) from ops.builds"
    ).fetchall()
    # Of 240 old ones the last of each window stays, and what the pinned clocks knew.
    assert (old < 180, kept - old) == (True, 121), (old, kept)


def test_a_good_build_takes_away_the_old_ones_of_which_nothing_is_left(connection: psycopg.Connection[Any]) -> None:
    connection.execute(
        "insert into ops.builds (build_id, window_start, window_end, as_of, started_at, finished_at, status)"
        " select 'old ' || number, %(day)s, %(day)s::date + 1, began, began, began, 'ok' from generate_series(31, 40) as number"
        " cross join lateral (select now() - number * interval '1 day' as began) as builds",
        {"day": DAY},
    )
    for build, ok, left in (("bad", False, 11), ("good", True, 2)):
        ledger.begin_build(connection, build, Window.of_days(DAY, DAY), datetime.now(UTC), TABLES)
        ledger.end_build(connection, build, ok=ok)
        assert connection.execute("select count(*) from ops.builds").fetchall() == [(left,)]
