"""What views say of builds, and that none of them becomes slow with their number: there are ninety-six a day."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
YEAR = """
insert into ops.builds (build_id, window_start, window_end, as_of, started_at, finished_at, status)
select 'year-' || number, began::date - 6, began::date + 1, %(noon)s, began, began + interval '1 minute', 'ok'
from generate_series(1, 35040) as number
cross join lateral (select %(noon)s - number * interval '15 minutes' as began) as builds;
insert into ops.proofs (proof_id, usage_date, build_id, as_of, started_at, finished_at, status, rows_compared)
select 'proof-' || day, began::date - 7 * (day %% 2), 'year-1', began, began, began, 'equal', 1
from generate_series(1, 365) as day
cross join lateral (select %(noon)s - day * interval '1 day' as began) as proofs;
analyze ops.builds, ops.proofs;
"""


@pytest.fixture
def connection(database: str) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(database, autocommit=True, cursor_factory=psycopg.ClientCursor) as connection:
        connection.execute("set metering.role = 'root_admin'")
        yield connection


@pytest.fixture
def year(connection: psycopg.Connection[Any]) -> psycopg.Connection[Any]:
    connection.execute(YEAR, {"noon": NOON})
    return connection


def scans_of_builds(connection: psycopg.Connection[Any], view: str) -> list[tuple[str, int]]:
    """Return how each scan of the builds is done, and how many times."""
    row = connection.execute(f"explain (analyze, format json) select * from {view}".encode()).fetchone()
    assert row is not None
    found: list[tuple[str, int]] = []

    def note(node: dict[str, Any]) -> dict[str, Any]:
        if node.get("Relation Name") == "builds":
            found.append((node["Node Type"], int(node["Actual Loops"])))
        return node

    json.loads(json.dumps(row[0]), object_hook=note)
    return found


def test_the_newest_build_is_settled_unless_another_has_begun_since(connection: psycopg.Connection[Any]) -> None:
    chance = random.Random(15)
    answers = set()
    for _ in range(60):
        connection.execute("delete from ops.builds")
        for number in range(chance.randrange(1, 5)):
            began = chance.randrange(3)  # some begin at one moment
            connection.execute(
                "insert into ops.builds (build_id, window_start, window_end, as_of, started_at, finished_at, status)"
                " values (%s, '2026-11-01', '2026-11-20', %s, %s, %s, %s)",
                (
                    f"build-{number}",
                    NOON,
                    NOON + timedelta(minutes=began),
                    NOON + timedelta(minutes=began, seconds=number + 1),
                    chance.choice(["ok", "ok", "failed"]),
                ),
            )
        told = connection.execute("select build_id, is_settled from ops.current_build").fetchone()
        plain = connection.execute(
            "select build_id, not exists (select from ops.builds as other where other.started_at >= newest.started_at"
            " and other.build_id <> newest.build_id) from ops.builds as newest where status = 'ok'"
            " order by finished_at desc limit 1"
        ).fetchone()
        assert told == plain
        answers.add(told and told[1])
    assert answers == {True, False, None}


def test_the_newest_build_is_found_without_reading_a_year_of_them(year: psycopg.Connection[Any]) -> None:
    assert {kind for kind, _ in scans_of_builds(year, "ops.current_build")} == {"Index Scan"}


def test_a_year_of_proofs_is_held_against_the_builds_at_once(year: psycopg.Connection[Any]) -> None:
    assert [times for _, times in scans_of_builds(year, "ops.proof_status")] == [1]
    told = year.execute("select usage_date, is_current from ops.day_proofs order by usage_date").fetchall()
    plain = year.execute(
        "select usage_date, not exists (select from ops.builds where window_start <= usage_date and window_end > usage_date"
        " and builds.started_at > proofs.started_at) from ops.proofs as proofs"
        " where not exists (select from ops.proofs as later where later.usage_date = proofs.usage_date"
        "   and later.finished_at > proofs.finished_at) order by usage_date"
    ).fetchall()
    assert told == plain
    assert {is_current for _, is_current in told} == {True, False}
