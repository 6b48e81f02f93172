"""The cap reads totals: whatever happens, they answer as a sum over all pending rows would."""

from __future__ import annotations

import random
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.proof import all_in_proof
from warehouse import objects
from warehouse.urls import as_role

MARTS = Path(__file__).parents[1] / "api" / "marts.sql"
TENANTS, CHANNELS, MONTHS = ("acme", "loose", "later"), ("sms", "email", "ai"), ("2026-10", "2026-11")
DIRECTIONS = ("outbound", "inbound", "none")
RECORDS = [f"R{number}" for number in range(30)]

# The function as it was before there were totals: every row is read at every question.
BY_ROWS = """
    live as (
        select
            live_usage.direction,
            live_usage.is_reserved,
            sum(live_usage.units) as units,
            sum(live_usage.requests) as requests,
            sum(live_usage.cost_cents) as cost_cents
        from ops.live_usage
        where live_usage.tenant_id = p_tenant_id
            and live_usage.channel = p_channel
            and live_usage.month = p_month
            and (live_usage.expires_at is null or live_usage.expires_at > clock_timestamp())
        group by live_usage.direction, live_usage.is_reserved
    ),

"""
DIFFERENT = """
select asked.*, ours.*, by_rows.*
from (
    select * from unnest(%s::text[]) as tenant_id, unnest(%s::text[]) as channel, unnest(%s::text[]) as month, unnest('{0, 7}'::numeric[]) as units
) as asked
left join lateral ops.access_of(tenant_id, channel, units, month) as ours on true
left join lateral ops.access_by_rows(tenant_id, channel, units, month) as by_rows on true
where ours is distinct from by_rows
"""


@dataclass
class History:
    """One process that uses the guard and the tracker, and a build now and then; all of it by chance."""

    url: str
    seed: int
    held: list[tuple[Any, ...]] = field(default_factory=list)
    number: int = 0

    def __post_init__(self) -> None:
        self.chance = random.Random(self.seed)
        self.owner = psycopg.connect(self.url, autocommit=True)
        self.tracker = psycopg.connect(as_role(self.url, "metering_tracker"), autocommit=True)

    def step(self) -> str:
        """Do something and return what it was."""
        kinds = (
            self.flush,
            self.flush,
            self.flush,
            self.reserve,
            self.reserve,
            self.settle,
            self.release,
            self.repeat,
            self.build,
        )
        kind = self.chance.choice((*kinds, self.delete))
        kind()
        return kind.__name__

    def _one(self, choices: tuple[str, ...]) -> str:
        return self.chance.choice(choices)

    def _units(self) -> Decimal:
        return self.chance.choice([Decimal(0), Decimal(1), Decimal("2.5"), Decimal(self.chance.randrange(40))])

    def flush(self) -> None:
        """Events of some records, among them some told twice, some built, some under a reservation."""
        with self.tracker.transaction():
            keys = []
            for _ in range(self.chance.randrange(1, 6)):
                self.number += 1
                keys.append(f"event-{self.seed}-{self.number}")
                self.tracker.execute(
                    "insert into raw.usage_events (event_key, tenant_id, service, channel, direction, external_id, units, occurred_at)"
                    " values (%s, %s, 'twilio_sms', %s, %s, %s, %s, %s)",
                    (
                        keys[-1], self._one(TENANTS), self._one(CHANNELS), self._one(DIRECTIONS), self.chance.choice([None, *RECORDS]),
                        self._units(), f"{self._one(MONTHS)}-{self.chance.randrange(1, 28):02d} 10:00+00",
                    ),
                )  # fmt: skip
            taken = [reservation[0] for reservation in self.held[: self.chance.randrange(2)]]
            self.tracker.execute("select ops.add_live_usage('load', %s, %s)", (keys, taken))
            if self.chance.random() < 0.1:
                raise psycopg.Rollback  # the answer is lost, the flush is tried again later

    def reserve(self, again: tuple[Any, ...] | None = None) -> None:
        self.number += 1
        key = f"reservation-{self.seed}-{self.number}"
        request = again or (
            key,
            self._one(TENANTS),
            self._one(CHANNELS),
            self._one(DIRECTIONS),
            self._units(),
            self._one(MONTHS),
        )
        self.tracker.execute(
            "select * from ops.reserve_usage(%s, %s, %s, %s, %s, %s, %s, null)",
            (*request, self.chance.choice([60, 60, 60, -1])),
        )
        self.held.append(request)

    def repeat(self) -> None:
        """The answer to a reservation was lost: asked for again under the same id."""
        if self.held:
            self.reserve(self.held.pop())

    def settle(self) -> None:
        if self.held:
            key = self.chance.choice([None, *RECORDS])
            reservation = self.held.pop()[0]
            self.tracker.execute(
                "select ops.settle_usage(%s, %s, %s)", (reservation, key or reservation, self._units())
            )

    def release(self) -> None:
        if self.held:
            self.tracker.execute("select ops.release_usage(%s)", (self.held.pop()[0],))

    def build(self) -> None:
        with self.owner.transaction():
            self.owner.execute("set local role metering_transformer")
            self.owner.execute(
                "insert into intermediate.int_settled_records (record_key) select unnest(%s::text[]) on conflict do nothing",
                (self.chance.sample(RECORDS, 3),),
            )
            self.owner.execute("select ops.forget_built_usage()")
        self.owner.execute(
            "insert into ops.builds (build_id, window_start, window_end, as_of, started_at, status)"
            " values (gen_random_uuid()::text, '2026-11-20', '2026-11-21', now(), clock_timestamp(), %s)",
            (self.chance.choice(["ok", "failed"]),),
        )
        if self.chance.random() < 0.3:
            self.owner.execute("truncate intermediate.int_settled_records")  # another window

    def delete(self) -> None:
        """By hand, past all functions."""
        self.owner.execute("delete from ops.live_usage where key = %s", (self.chance.choice(RECORDS),))
        self.owner.execute(
            "update ops.live_usage set units = units + 1, month = %s where key = %s",
            (self._one(MONTHS), self.chance.choice(RECORDS)),
        )


@pytest.fixture
def marts(database: str) -> str:
    with psycopg.connect(database) as connection:
        connection.execute("set local role metering_transformer")
        connection.execute(MARTS.read_bytes())
        connection.execute(
            "create table intermediate.int_settled_records (usage_date date, record_key text unique, record_keys text[])"
        )
        connection.execute(
            "insert into marts.tenants values ('acme', 'Acme', 'pro', 'Pro', 99, 'active', true),"
            " ('loose', 'Loose', 'pro', 'Pro', 99, 'active', false), ('later', 'Later', 'pro', 'Pro', 99, 'active', true)"
        )
        connection.execute(
            "insert into marts.tenant_usage_status (tenant_id, month, channel, metric, direction, used, cap,"
            " warning_threshold_pct, percent_used, status)"
            " select tenants.tenant_id, month, channel, metric, direction, 3, cap, 80, 0, 'ok'"
            " from marts.tenants, unnest('{2026-10, 2026-11}'::text[]) as month, (values ('sms', 'units', 'any', 200),"
            " ('sms', 'requests', 'inbound', 9), ('email', 'units', 'outbound', 150), ('ai', 'cost_cents', 'any', 90),"
            " ('ai', 'units', 'none', null)) as limits (channel, metric, direction, cap)"
            " where (tenants.tenant_id, month) <> ('later', '2026-11')"
        )
        connection.execute("insert into marts.channel_prices values ('', 'ai', 0.01), ('', 'sms', 0.0079)")
        connection.execute("set local role none")
        connection.execute(_by_rows().encode())
    return database


def _by_rows() -> str:
    text = (objects.FOLDER / "access.sql").read_text()
    function = text[
        text.index("create or replace function ops.access_of(") : text.index("-- For the API: a tenant may ask")
    ]
    begin, end = function.index("    -- What has arrived is summed up"), function.index("    measured as (\n")
    return (function[:begin] + BY_ROWS + function[end:]).replace("ops.access_of(", "ops.access_by_rows(")


def _different(url: str) -> list[tuple[Any, ...]]:
    with psycopg.connect(url) as connection:
        return connection.execute(DIFFERENT.encode(), (list(TENANTS), list(CHANNELS), list(MONTHS))).fetchall()


def _wrong(url: str) -> list[tuple[Any, ...]]:
    with psycopg.connect(url) as connection:
        return connection.execute("select * from ops.wrong_live_usage_totals()").fetchall()


@pytest.mark.parametrize("seed", all_in_proof(range(3), [0]))
def test_the_answer_is_that_of_a_sum_over_all_rows(marts: str, seed: int) -> None:
    history = History(marts, seed)
    done = []
    for _ in range(80):
        done.append(history.step())
        assert (_different(marts), _wrong(marts)) == ([], []), done


def test_many_at_once_keep_the_totals(marts: str) -> None:
    def live(seed: int) -> None:
        history = History(marts, seed)
        for _ in range(60):
            # Where events of one record name different tenants, flushes of it may collide; the flusher repeats them.
            with suppress(psycopg.errors.DeadlockDetected):
                history.step()

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(live, range(100, 104)))
    assert (_different(marts), _wrong(marts)) == ([], [])


def test_flushes_of_the_same_tenants_in_opposite_order_wait_for_each_other(marts: str) -> None:
    tracker = as_role(marts, "metering_tracker")

    def flushes(name: int) -> None:
        for number in range(30):
            # Each key order is another tenant order: by rows alone, two flushes would lock the totals crosswise.
            tenants = sorted(TENANTS, reverse=bool((name + number) % 2))
            keys = [f"{prefix}-{name}-{number}" for prefix in range(len(tenants))]
            # The record is told by all of them at once.
            records = [*keys[1:], f"shared by {tenants[0]}"]
            with psycopg.connect(tracker) as connection:
                for key, record, tenant in zip(keys, records, [*tenants[1:], tenants[0]], strict=True):
                    connection.execute(
                        "insert into raw.usage_events (event_key, tenant_id, service, channel, direction, external_id, units, occurred_at)"
                        " values (%s, %s, 'twilio_sms', 'sms', 'outbound', %s, %s, '2026-11-20 10:00+00')",
                        (key, tenant, record, number % 7),
                    )
                connection.execute("select ops.add_live_usage('load', %s, '{}')", (keys,))

    with ThreadPoolExecutor(3) as pool:
        list(pool.map(flushes, range(3)))
    assert (_different(marts), _wrong(marts)) == ([], [])


def test_the_first_flush_of_a_channel_does_not_deadlock_with_the_next_one(marts: str) -> None:
    """It locks the total before its rows, though there is none yet."""

    def flush(*keys: str) -> None:
        with psycopg.connect(as_role(marts, "metering_tracker")) as connection:
            for key in keys:
                connection.execute(
                    "insert into raw.usage_events (event_key, tenant_id, service, channel, direction, external_id, units, occurred_at)"
                    " values (%s, 'acme', 'twilio_sms', 'sms', 'outbound', %s, 1, '2026-11-20 10:00+00')",
                    (f"{key} {threading.get_ident()}", key),
                )
            events = [f"{key} {threading.get_ident()}" for key in keys]
            connection.execute("select ops.add_live_usage('load', %s, '{}')", (events,))

    def flush_twice() -> None:
        flush("other")
        flush("shared")

    with psycopg.connect(marts) as in_the_way, ThreadPoolExecutor(2) as pool:
        in_the_way.execute(
            "insert into ops.live_usage (key, tenant_id, channel, direction, month, units, requests, is_reserved, expires_at)"
            " values ('then', 'bolt', 'sms', 'outbound', '2026-11', 1, 1, true, now())"
        )
        first = pool.submit(flush, "shared", "then")  # waits behind its first row
        _wait_until(marts, 1)
        second = pool.submit(flush_twice)
        _wait_until(marts, 2)
        in_the_way.rollback()
        assert (first.result(60), second.result(60)) == (None, None)
    assert (_different(marts), _wrong(marts)) == ([], [])


def _wait_until(marts: str, count: int) -> None:
    """Wait until so many connections wait for another."""
    with psycopg.connect(marts, autocommit=True) as connection:
        for _ in range(600):
            found = connection.execute(
                "select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'"
            ).fetchone()
            if found is not None and found[0] >= count:
                return
            time.sleep(0.05)
    raise AssertionError(f"{count} connections do not wait")


def test_a_question_reads_no_row_of_what_has_arrived(marts: str) -> None:
    with psycopg.connect(marts, autocommit=True) as connection:
        connection.execute(
            "insert into ops.live_usage (key, tenant_id, channel, direction, month, units, requests, cost_cents, is_reserved)"
            " select 'K' || n, 'acme', 'sms', 'outbound', '2026-11', 1, 1, 1, false from generate_series(1, 5000) as n"
        )
        connection.execute("analyze ops.live_usage")
    touched = (
        "select coalesce(sum(pg_stat_get_xact_tuples_returned(i)), 0) from unnest(array['ops.live_usage'::regclass]) as i"
        " union all select pg_stat_get_xact_tuples_fetched('ops.live_usage'::regclass)"
    )
    with psycopg.connect(marts) as connection:
        connection.execute("select * from ops.access_of('acme', 'sms', 1, '2026-11')")
        assert connection.execute(touched).fetchall() == [(0,), (0,)]


def test_totals_that_somebody_spoiled_are_named_and_counted_again(marts: str) -> None:
    with psycopg.connect(marts, autocommit=True) as connection:
        connection.execute(
            "insert into ops.live_usage (key, tenant_id, channel, direction, month, units, requests, is_reserved)"
            " values ('K', 'acme', 'sms', 'outbound', '2026-11', 5, 1, false)"
        )
        connection.execute("update ops.live_usage_totals set units = 4")
        assert _wrong(marts) == [("acme", "sms", "2026-11", "outbound", -1)]
        connection.execute("select ops.recount_live_usage()")
        assert _wrong(marts) == []
        connection.execute("truncate ops.live_usage")
        assert connection.execute("select count(*) from ops.live_usage_totals").fetchall() == [(0,)]
