"""A build is left out only where it would read what the newest one has read: whatever changes, by whomever, it is made."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Any

import psycopg
import pytest
from psycopg import sql

from builds import ledger
from builds.dbt_manifest import parsed_project
from builds.standing import input_tables, note_standing, seeds_digest
from builds.static_nodes import standing_version, static_nodes
from ingestion.windows import Window
from warehouse.migrate import migrate

DAY = date(2026, 11, 20)
TODAY = Window.of_days(DAY, DAY)
NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)

Connection = psycopg.Connection[Any]


class World:
    """A database in which every model and seed stands, as far as a build that reads nothing needs it."""

    def __init__(self, url: str, connection: Connection) -> None:
        self.url, self.connection = url, connection
        self.data = parsed_project().data
        self.builds = 0
        for node in [*self.data["nodes"].values(), *self.data["functions"].values()]:
            name = sql.Identifier(node["schema"], node["alias"])
            if node["resource_type"] == "seed":
                connection.execute(sql.SQL("create table if not exists {} (seeded text)").format(name))
            elif node["resource_type"] == "function":
                connection.execute(
                    sql.SQL("create or replace function {}() returns int language sql as 'select 1'").format(name)
                )
            elif node["resource_type"] == "model" and node["config"]["materialized"] != "ephemeral":
                # A month and a time: what the end of a build looks at of the marts behind the owner's lists.
                columns = sql.SQL("(made int, month text, updated_at timestamptz)")
                connection.execute(sql.SQL("create table if not exists {} ").format(name) + columns)

    def build(self, window: Window = TODAY, as_of: datetime = NOON, *, ok: bool = True, meanwhile: str = "") -> str:
        """Do what a build does but for dbt: begin, read, end."""
        self.builds += 1
        build_id = f"build {self.builds}"
        version = standing_version(self.connection, self.data, static_nodes(self.data))
        ledger.begin_build(self.connection, build_id, window, as_of, ["twilio_messages"], static_version=version)
        if meanwhile:
            self.connection.execute(meanwhile.encode())
        seeds = seeds_digest(self.connection, self.data)
        ledger.end_build(self.connection, build_id, ok=ok, static_version=version, seeds_seen=seeds)
        return build_id

    def stands_on(self, window: Window = TODAY, as_of: datetime = NOON) -> str | None:
        """Return the build on which a build of ``window`` would stand, and note it, as a rolling run does."""
        self.builds += 1
        found = note_standing(
            self.url, window, as_of=as_of, build_id=f"build {self.builds}", tables=["twilio_messages"], data=self.data
        )
        return found.build_id if found else None


@pytest.fixture
def world(database: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    static = static_nodes(parsed_project().data)  # once: the project stays as it is
    monkeypatch.setattr("builds.standing.static_nodes", lambda _: static)
    with psycopg.connect(database, autocommit=True) as connection:
        yield World(database, connection)


def row_of(connection: Connection, table: str) -> sql.Composed:
    """Return a statement that inserts a row of whatever satisfies the table's columns."""
    columns = connection.execute(
        "select attname, format_type(atttypid, atttypmod) from pg_attribute where attrelid = %s::regclass and attnum > 0"
        " and not attisdropped and attgenerated = '' and attidentity = '' and (attnotnull or attname = 'usage_date')",
        (table,),
    ).fetchall()
    kinds = {
        "date": "'2026-11-20'",
        "timestamp with time zone": "'2026-11-20 10:00Z'",
        "jsonb": "'{}'",
        "boolean": "true",
    }
    return sql.SQL("insert into {} ({}) values ({})").format(
        sql.Identifier(*table.split(".")),
        sql.SQL(", ").join(sql.Identifier(name) for name, _ in columns),
        sql.SQL(", ").join(
            sql.SQL(
                "'2026-11'" if name.endswith("month") else "'{}'" if kind.endswith("[]") else kinds.get(kind, "'1'")
            )
            for name, kind in columns
        ),
    )


def test_what_was_read_stands_and_says_how_old_it_is(world: World) -> None:
    made = world.build()
    world.connection.execute(
        "insert into ops.source_days (provider, usage_date, ingested_at) values ('twilio', %s, clock_timestamp())",
        (DAY,),
    )
    for _ in range(3):
        assert world.stands_on() == made
    newest = "select build_id, stands_on from ops.builds where status = 'ok' order by finished_at desc limit 1"
    assert world.connection.execute(newest.encode()).fetchall() == [(f"build {world.builds}", made)]
    assert world.connection.execute("select built_at is not null from ops.source_days").fetchall() == [(True,)]


def test_that_a_provider_was_asked_is_no_change_and_is_told(world: World) -> None:
    ask = (
        "insert into ops.source_reads (table_name, account_id, usage_date, provider, load_id, answered_at, row_count)"
        " values ('twilio_messages', 'a', '2026-11-20', 'twilio', 'l', %s, 0) on conflict (table_name, account_id, usage_date)"
        " do update set answered_at = excluded.answered_at, load_id = excluded.load_id"
    )
    world.connection.execute(ask, (NOON,))
    made = world.build()
    later = NOON + timedelta(minutes=15)
    world.connection.execute(ask, (later,))
    assert world.stands_on(as_of=later) == made
    assert world.connection.execute("select as_of, data_as_of from ops.current_build").fetchall() == [(later, later)]


def test_any_change_of_any_input_is_built(world: World) -> None:
    """Each table in a random order, given a row that then changes or goes in a random way, after a build that stands."""
    tables = input_tables(world.data)
    assert {
        "raw.twilio_messages",
        "raw.usage_events",
        "raw.tenants",
        "ops.cost_adjustments",
        "ops.closed_months",
        "ops.closed_names",
    } <= set(tables)
    # In whatever order: an adjustment's month need not be closed here.
    world.connection.execute("alter table ops.cost_adjustments drop constraint cost_adjustments_month_fkey")
    world.connection.execute("alter table ops.closed_names drop constraint closed_names_month_fkey")
    dice = random.Random(2026)
    for table in dice.sample(tables, len(tables)):
        name = sql.Identifier(*table.split("."))
        column = world.connection.execute(
            "select attname from pg_attribute where attrelid = %s::regclass and attnum > 0 and attgenerated = '' and attidentity = ''"
            " order by attnum limit 1",
            (table,),
        ).fetchone()
        assert column is not None
        changes = [
            row_of(world.connection, table),
            sql.SQL("update {} set {column} = {column}").format(name, column=sql.Identifier(column[0])),
            sql.SQL("delete from {}").format(name),
            sql.SQL("truncate {} cascade").format(name),
        ]
        for change in (changes[0], dice.choice(changes[1:])):
            made = world.build()
            assert world.stands_on() == made
            world.connection.execute(change)
            assert world.stands_on() is None, change.as_string()


def test_a_month_of_events_that_is_written_to_itself_is_built(world: World) -> None:
    world.connection.execute("select raw.ensure_usage_event_months('{2026-11-01}')")
    made = world.build()
    assert world.stands_on() == made
    row = row_of(world.connection, "raw.usage_events").as_string().replace('"usage_events"', '"usage_events_2026_11"')
    world.connection.execute(row.encode())
    assert world.stands_on() is None


def test_what_is_changed_while_a_build_runs_is_built_by_the_next(world: World) -> None:
    change = row_of(world.connection, "raw.tenant_limits").as_string()
    world.build(meanwhile=change)
    assert world.stands_on() is None
    made = world.build()
    assert world.stands_on() == made


def test_what_began_before_a_build_and_was_committed_after_it_is_built_by_the_next(world: World) -> None:
    with psycopg.connect(world.url) as other:
        other.execute(row_of(world.connection, "raw.tenant_limits"))
        made = world.build()
        assert world.stands_on() == made, "nobody can see it yet"
        other.commit()
    assert world.stands_on() is None
    made = world.build()
    assert world.stands_on() == made


def _touch(world: World) -> None:
    world.connection.execute("insert into ops.touched_days (usage_date, load_id) values (%s, 'flush')", (DAY,))


def _disable(world: World) -> None:
    world.connection.execute("alter table raw.twilio_calls disable trigger input_changed")


def _lose_a_trigger(world: World) -> None:
    world.connection.execute("drop trigger input_changed on raw.twilio_calls")


def _lose_a_mart(world: World) -> None:
    world.connection.execute("drop table marts.usage_daily")


def _change_a_seed(world: World) -> None:
    world.connection.execute("insert into staging.price_book values ('another price')")


def _lose_a_static_relation(world: World) -> None:
    world.connection.execute("drop table staging.plans")


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(_touch, id="an event's day"),
        pytest.param(_disable, id="a trigger is disabled"),
        pytest.param(_lose_a_trigger, id="a trigger is gone"),
        pytest.param(_lose_a_mart, id="a mart is gone"),
        pytest.param(_change_a_seed, id="a seed's row"),
        pytest.param(_lose_a_static_relation, id="a seed is gone"),
        pytest.param(lambda world: world.build(ok=False), id="a build failed since"),
        pytest.param(
            lambda world: world.build(Window.of_days(DAY - timedelta(days=1), DAY - timedelta(days=1))),
            id="another day was built",
        ),
        pytest.param(lambda world: world.build(as_of=NOON + timedelta(days=1)), id="the clock was ahead"),
    ],
)
def test_what_is_no_input_table_and_makes_other_marts_is_built(world: World, change: Callable[[World], object]) -> None:
    made = world.build()
    assert world.stands_on() == made
    change(world)
    assert world.stands_on() is None


def test_other_code_and_other_settings_are_built(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    made = world.build()
    monkeypatch.setenv("METERING_LOOKBACK_DAYS", "7")
    assert world.stands_on() is None
    monkeypatch.undo()
    assert world.stands_on() == made
    monkeypatch.setattr("builds.static_nodes._code", lambda: "another")
    assert world.stands_on() is None


@pytest.mark.parametrize(
    ("window", "as_of", "stands"),
    [
        pytest.param(TODAY, NOON + timedelta(hours=11), True, id="later that day"),
        pytest.param(TODAY, NOON + timedelta(days=1), False, id="another day"),
        pytest.param(TODAY, NOON - timedelta(hours=1), False, id="an hour before"),
        pytest.param(Window.of_days(DAY - timedelta(days=1), DAY), NOON, False, id="a day that was not built"),
    ],
)
def test_the_day_and_its_hours(world: World, window: Window, as_of: datetime, stands: bool) -> None:
    world.build()
    assert (world.stands_on(window, as_of) is not None) is stands


def test_a_price_that_is_given_up_after_three_days_is_built(world: World) -> None:
    last = Window.of_days(DAY - timedelta(days=3), DAY)
    world.build(last, NOON)
    assert world.stands_on(last, NOON) is None
    assert world.stands_on(TODAY, NOON) is not None


def test_triggers_that_are_gone_are_made_again_by_migrate(world: World) -> None:
    _lose_a_trigger(world)
    migrate(world.url)
    made = world.build()
    assert world.stands_on() == made


def test_a_build_takes_away_what_it_saw_and_no_more(world: World) -> None:
    count = "select count(*) from ops.input_changes"
    world.connection.execute(row_of(world.connection, "raw.tenants"))
    world.build()
    assert world.connection.execute(count.encode()).fetchall() == [(0,)]
    world.build(meanwhile=row_of(world.connection, "raw.tenant_limits").as_string())
    assert world.connection.execute(count.encode()).fetchall() == [(1,)]
    world.connection.execute("delete from raw.tenants")
    world.build(ok=False)
    assert world.connection.execute(count.encode()).fetchall() == [(2,)]
