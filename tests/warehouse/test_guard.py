"""The cap in SQL: what is built, live and reserved is one sum, each record is in it once, and nobody passes it together."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import psycopg
import pytest

from costs.rules.limits import STATUSES, severity, worst
from warehouse.urls import as_role

MARTS = Path(__file__).parents[1] / "api" / "marts.sql"
MONTH = "2026-11"
RESERVE = "select * from ops.reserve_usage(%s, %s, %s, 'outbound', %s, %s, %s, 'broadcast')"


@dataclass
class Guarded:
    """A database with one tenant on hard stop, and the statements of a tracker."""

    url: str

    def owner(self, statement: str, *parameters: object) -> list[tuple[Any, ...]]:
        return self._ask(self.url, statement, parameters)

    def tracker(self, statement: str, *parameters: object) -> list[tuple[Any, ...]]:
        return self._ask(as_role(self.url, "metering_tracker"), statement, parameters)

    def reserve(
        self, units: object = 1, *, channel: str = "sms", seconds: float = 60, key: str = ""
    ) -> tuple[Any, ...]:
        (row,) = self.tracker(RESERVE, key or uuid.uuid4().hex, "acme", channel, units, MONTH, seconds)
        return row

    def check(self, units: object = 1, channel: str = "sms") -> tuple[Any, ...]:
        (row,) = self.tracker("select * from ops.guard_check('acme', %s, %s, %s)", channel, units, MONTH)
        return row

    def event(self, key: str, *, external_id: str | None = None, units: object = 1, channel: str = "sms") -> None:
        with psycopg.connect(as_role(self.url, "metering_tracker")) as connection:
            connection.execute(
                "insert into raw.usage_events (event_key, tenant_id, service, channel, direction, external_id, units, occurred_at)"
                " values (%s, 'acme', 'twilio_sms', %s, 'outbound', %s, %s, '2026-11-20 10:00+00')",
                (key, channel, external_id, units),
            )
            connection.execute("select ops.add_live_usage('load', %s, '{}')", ([key],))

    def build(self, *record_keys: str, used: object, status: str = "ok") -> None:
        """Pretend a dbt build that took these records in and ended like that."""
        with psycopg.connect(self.url) as connection:
            connection.execute("set local role metering_transformer")
            connection.execute("truncate intermediate.int_settled_records")
            for key in record_keys:
                connection.execute("insert into intermediate.int_settled_records (record_key) values (%s)", (key,))
            if status == "ok":
                connection.execute("update marts.tenant_usage_status set used = %s where channel = 'sms'", (used,))
                connection.execute("select ops.forget_built_usage()")
            connection.execute("reset role")
            connection.execute(
                "insert into ops.builds (build_id, window_start, window_end, as_of, started_at, status)"
                " values (gen_random_uuid()::text, '2026-11-20', '2026-11-21', now(), clock_timestamp(), %s)",
                (status,),
            )

    @staticmethod
    def _ask(url: str, statement: str, parameters: tuple[object, ...]) -> list[tuple[Any, ...]]:
        with psycopg.connect(url, autocommit=True) as connection:
            found = connection.execute(statement.encode(), parameters or None)
            return found.fetchall() if found.description else []


@pytest.fixture
def guarded(database: str) -> Iterator[Guarded]:
    with psycopg.connect(database) as connection:
        connection.execute("set local role metering_transformer")
        connection.execute(MARTS.read_bytes())
        connection.execute(
            "create table intermediate.int_settled_records (usage_date date, record_key text, record_keys text[])"
        )
        connection.execute(
            "insert into marts.tenants values ('acme', 'Acme', 'pro', 'Pro', 99, 'active', true),"
            " ('loose', 'Loose', 'pro', 'Pro', 99, 'active', false)"
        )
        connection.execute(
            "insert into marts.tenant_usage_status (tenant_id, month, channel, metric, direction, used, cap,"
            " warning_threshold_pct, percent_used, status) values"
            " ('acme', '2026-11', 'sms', 'units', 'any', 90, 100, 80, 90, 'warning'),"
            " ('acme', '2026-11', 'ai', 'cost_cents', 'any', 0, 10, 80, 0, 'ok'),"
            " ('loose', '2026-11', 'sms', 'units', 'any', 200, 100, 80, 200, 'over_cap')"
        )
        connection.execute("insert into marts.channel_prices values ('', 'ai', 0.01), ('', 'sms', 0.0079)")
    return Guarded(database)


def test_up_to_the_cap_and_no_further(guarded: Guarded) -> None:
    assert guarded.check(10) == (True, "warning", 90, 0, 100, None)
    assert guarded.check(11)[0] is False
    assert guarded.reserve(10)[:5] == (True, "warning", 90, 0, 100)
    allowed, status, used, reserved, cap, reason = guarded.reserve(1)
    assert (allowed, status, used, reserved, cap) == (False, "warning", 90, 10, 100)
    assert reason == "Usage cap reached for this channel. Please contact support or update your plan."
    assert guarded.owner("select tenant_id, channel, units, allowed, reserved, feature from ops.access_decisions") == [
        ("acme", "sms", 1, False, 10, "broadcast")
    ]


def test_a_cap_of_money_counts_the_price(guarded: Guarded) -> None:
    assert guarded.reserve(10, channel="ai")[0] is True
    assert guarded.reserve(1, channel="ai")[0] is False
    assert guarded.check(0, "ai")[3] == 10


def test_without_hard_stop_all_is_allowed(guarded: Guarded) -> None:
    (row,) = guarded.tracker("select * from ops.guard_check('loose', 'sms', 5, %s)", MONTH)
    assert row[:2] == (True, "over_cap")
    assert guarded.tracker("select * from ops.guard_check('nobody', 'sms', 5, %s)", MONTH) == []


def test_settled_released_and_expired(guarded: Guarded) -> None:
    guarded.reserve(10, key="r1")
    guarded.tracker("select ops.settle_usage('r1', 'SM1', 4)")
    assert guarded.check()[2:4] == (94, 0)
    guarded.reserve(6, key="r2")
    assert guarded.check()[0] is False
    guarded.tracker("select ops.release_usage('r2')")
    assert guarded.check(6)[0] is True
    guarded.reserve(6, seconds=-1)
    assert guarded.check(6) == (True, "warning", 94, 0, 100, None)


def test_reservation_event_and_record_are_one(guarded: Guarded) -> None:
    guarded.build(used=90)
    guarded.reserve(5, key="r1")
    guarded.tracker("select ops.settle_usage('r1', 'SM1', 3)")
    guarded.event("SM1", external_id="SM1", units=3)
    assert guarded.check()[2:4] == (93, 0)
    guarded.build("SM1", used=93)
    assert guarded.check()[2:4] == (93, 0)
    assert guarded.owner("select count(*) from ops.live_usage") == [(0,)]


def test_an_event_after_its_record_was_built_adds_nothing(guarded: Guarded) -> None:
    guarded.build("SM1", used=91)
    guarded.event("SM1", external_id="SM1")
    assert guarded.check()[2] == 91
    guarded.event("SM2", external_id="SM2")
    assert guarded.check()[2] == 92


@pytest.mark.parametrize("status", ["running", "failed"])
def test_what_a_build_has_not_brought_to_the_marts_stays_live(guarded: Guarded, status: str) -> None:
    guarded.event("SM1", external_id="SM1")
    guarded.build("SM1", "SM2", used=92, status=status)
    guarded.event("SM2", external_id="SM2")
    assert guarded.check()[2] == 92
    guarded.build("SM1", "SM2", used=92)
    assert guarded.check()[2] == 92
    assert guarded.owner("select count(*) from ops.live_usage") == [(0,)]


def test_several_events_of_one_record_count_once_with_the_most_that_was_said(guarded: Guarded) -> None:
    guarded.event("CA1", external_id="CA1", units=0)
    guarded.event("CA1:completed", external_id="CA1", units=4)
    assert guarded.check()[2] == 94
    assert guarded.owner("select key, units from ops.live_usage") == [("CA1", 4)]


def test_touched_days_are_noted(guarded: Guarded) -> None:
    guarded.event("SM1")
    assert guarded.owner("select usage_date::text, load_id from ops.touched_days") == [("2026-11-20", "load")]


@pytest.mark.parametrize(
    ("table", "key", "others"),
    [
        ("twilio_messages", "sid", {"date_sent": "2026-11-21 00:00:01+00", "status": "delivered"}),
        ("twilio_calls", "sid", {"start_time": "2026-11-21 00:00:01+00", "status": "completed"}),
        ("twilio_calls", "parent_call_sid", {"start_time": "2026-11-21 00:00:01+00", "status": "completed"}),
        ("twilio_recordings", "sid", {"date_created": "2026-11-21 00:00:01+00", "status": "completed"}),
        ("twilio_recordings", "call_sid", {"date_created": "2026-11-21 00:00:01+00", "status": "completed"}),
        (
            "stripe_balance_transactions",
            "id",
            {"created": "2026-11-21 00:00:01+00", "type": "charge", "currency": "usd"}
            | dict.fromkeys(("amount_minor", "fee_minor", "net_minor", "application_fee_minor"), 0),
        ),
    ],
)
def test_the_day_on_which_the_providers_record_stands_is_touched_too(
    guarded: Guarded, table: str, key: str, others: dict[str, object]
) -> None:
    for record, day in (("X1", "2026-11-21"), ("X2", "2026-11-25")):
        row = {"account_id": "AC", "usage_date": day, "load_id": "l", **others}
        row |= {"id" if key == "id" else "sid": f"its own {record}", key: record}
        guarded.owner(
            f"insert into raw.{table} ({', '.join(row)}) values ({', '.join(['%s'] * len(row))})", *row.values()
        )
    guarded.event("X1:event", external_id="X1")
    touched = guarded.owner("select usage_date::text from ops.touched_days order by 1")
    assert touched == [("2026-11-20",), ("2026-11-21",)]


def test_the_days_of_what_is_a_calls_are_touched_too(guarded: Guarded) -> None:
    """Its recordings and the legs dialled from it are whose the call is, which the event says."""
    guarded.owner(
        "insert into raw.twilio_calls (account_id, usage_date, sid, parent_call_sid, status, start_time, load_id)"
        " values ('AC', '2026-11-22', 'CA2', 'CA1', 'completed', '2026-11-22 00:00:01+00', 'l'),"
        " ('AC', '2026-11-25', 'CA3', 'CA9', 'completed', '2026-11-25 00:00:01+00', 'l')"
    )
    guarded.owner(
        "insert into raw.twilio_recordings (account_id, usage_date, sid, call_sid, status, date_created, load_id)"
        " values ('AC', '2026-11-23', 'RE1', 'CA1', 'completed', '2026-11-23 00:00:01+00', 'l'),"
        " ('AC', '2026-11-26', 'RE2', 'CA9', 'completed', '2026-11-26 00:00:01+00', 'l')"
    )
    guarded.event("CA1:event", external_id="CA1")
    touched = guarded.owner("select usage_date::text from ops.touched_days order by 1")
    assert touched == [("2026-11-20",), ("2026-11-22",), ("2026-11-23",)]


def test_callers_at_once_never_pass_the_cap_together(guarded: Guarded) -> None:
    def take(_: int) -> bool:
        return bool(guarded.reserve(Decimal("0.5"))[0])

    with ThreadPoolExecutor(16) as threads:
        taken = list(threads.map(take, range(64)))
    assert sum(taken) == 20
    assert guarded.check(0)[3] == 10


def test_months_are_made_once_and_rows_go_to_their_month(guarded: Guarded) -> None:
    make = "select raw.ensure_usage_event_months(array['2026-11-01', '2026-10-31']::date[])"
    guarded.event("early")  # before there is a month for it: the default keeps that month
    guarded.tracker(make)
    guarded.tracker(make)
    guarded.tracker("select raw.ensure_usage_event_months(array['2026-12-01']::date[])")
    partitions = (
        "select inhrelid::regclass::text from pg_inherits where inhparent = 'raw.usage_events'::regclass order by 1"
    )
    assert [name for (name,) in guarded.owner(partitions)] == [
        "raw.usage_events_2026_10",
        "raw.usage_events_2026_12",
        "raw.usage_events_default",
    ]


def test_a_tracker_may_not_look_or_change(guarded: Guarded) -> None:
    for statement in (
        "select * from raw.usage_events",
        "select * from marts.tenants",
        "select * from ops.live_usage",
        "delete from raw.usage_event_keys",
        "update ops.access_decisions set allowed = true",
        "select ops.forget_built_usage()",
        "select * from ops.check_access('acme', 'sms', 1, '2026-11')",
    ):
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            guarded.tracker(statement)


def test_limits_of_a_month_that_no_build_has_touched(guarded: Guarded) -> None:
    ask = "select channel, used, cap, percent_used, status from ops.limits_of('acme', %s) order by channel"
    assert guarded.owner(ask, "2026-11") == [("ai", 0, 10, 0, "ok"), ("sms", 90, 100, 90, "warning")]
    assert guarded.owner(ask, "2026-12") == [("ai", 0, 10, 0, "ok"), ("sms", 0, 100, 0, "ok")]
    assert guarded.owner(ask, "2026-10") == []


@pytest.mark.parametrize(
    ("used", "cap", "percent", "status"),
    [
        *(
            (0, 0, 0, "ok"),
            (1, 0, 100, "over_cap"),
            (80, 100, 80, "warning"),
            (79, 100, 79, "ok"),
            (5, None, None, "ok"),
        ),
        # To 18 decimals, rounded once: the quotient's 20 would make it …037.
        *((1, 274, Decimal("0.364963503649635036"), "ok"), (-1, 274, Decimal("-0.364963503649635036"), "ok")),
    ],
)
def test_how_full_a_limit_is(
    database: str, used: int, cap: int | None, percent: Decimal | int | None, status: str
) -> None:
    with psycopg.connect(database) as connection:
        assert connection.execute(
            "select filled.percent, ops.limit_status(%(used)s, %(cap)s, filled.percent, 80)"
            " from ops.percent_of_cap(%(used)s, %(cap)s) as filled (percent)",
            {"used": used, "cap": cap},
        ).fetchone() == (percent, status)


def test_the_order_of_statuses_is_the_same_in_python_and_sql(database: str) -> None:
    with psycopg.connect(database) as connection:
        for status in STATUSES:
            assert connection.execute("select ops.severity(%s)", (status,)).fetchone() == (severity(status),)
            assert connection.execute("select ops.status_of(%s)", (severity(status),)).fetchone() == (status,)
        found = connection.execute("select ops.worst_status(status) from unnest(%s::text[]) as status", ([*STATUSES],))
        assert found.fetchone() == (worst(STATUSES),)
        assert connection.execute("select ops.worst_status(null)").fetchone() == ("ok",)
