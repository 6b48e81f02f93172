"""From the marts to ops.usage_forecasts: which days go into which limit, what is replaced and what is kept."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg.rows import dict_row

from costs.forecasts import KEPT_DAYS, write_forecasts

MARTS = Path(__file__).parents[1] / "api" / "marts.sql"
AS_OF = datetime(2026, 11, 16, 12, tzinfo=UTC)
TODAY = AS_OF.date()
Connection = psycopg.Connection[Any]


@pytest.fixture
def connection(database: str) -> Iterator[Connection]:
    with psycopg.connect(database, autocommit=True) as found:
        found.execute(MARTS.read_bytes())
        for tenant in ("acme", "bolt", "idle"):
            found.execute(
                "insert into marts.tenants values (%s, %s, 'pro', 'Pro', 99, 'active', true)", (tenant, tenant)
            )
        yield found


def limit(connection: Connection, metric: str, direction: str, cap: int | None, month: str = "2026-11") -> None:
    connection.execute(
        "insert into marts.tenant_usage_status values ('acme', %s, 'sms', %s, %s, 0, %s, 80, 0, 'ok')",
        (month, metric, direction, cap),
    )


def used(connection: Connection, day: date, units: int, cost: str | None, direction: str = "outbound") -> None:
    connection.execute(
        "insert into marts.usage_daily values ('acme', %s, 'sms', 'twilio_sms', %s, %s, 'twilio', '(untracked)', '',"
        " 'provider', 'segments', %s, 1, 0, 0, 0, %s, null, %s)",
        (day, direction, direction, units, cost, units if cost is None else 0),
    )


def fill(connection: Connection, days: int) -> None:
    for age in range(days, 0, -1):
        used(connection, TODAY - timedelta(days=age), 10, "0.1")
        used(connection, TODAY - timedelta(days=age), 4, "0.02", "inbound")
    used(connection, TODAY, 3, "0.03")


def rows(connection: Connection) -> dict[tuple[str, str, str], dict[str, Any]]:
    with connection.cursor(row_factory=dict_row) as cursor:
        found = cursor.execute("select * from ops.usage_forecasts where as_of_date = %s", (TODAY,)).fetchall()
    return {(row["tenant_id"], row["channel"], row["metric"]): row for row in found}


def test_each_limit_sums_what_it_counts(connection: Connection) -> None:
    limit(connection, "units", "outbound", 155)
    limit(connection, "requests", "any", 31)
    limit(connection, "cost_cents", "inbound", 1_000)
    fill(connection, 40)
    assert write_forecasts(connection, AS_OF) == 6
    found = rows(connection)
    units = found[("acme", "sms", "units")]
    assert (units["used"], units["cap"], units["history_days"], units["month"]) == (153, 155, 40, "2026-11")
    # 153 used; half a Monday and 14 days of 10 to come.
    assert Decimal(285) < units["low"] < units["expected"] < units["high"] < Decimal(315)
    assert (units["cap_is_reached"], units["cap_likely"], units["cap_latest"]) == (False, TODAY, TODAY)
    requests = found[("acme", "sms", "requests")]
    assert (requests["used"], requests["cap_is_reached"], requests["cap_earliest"]) == (31, True, TODAY)
    cost = found[("acme", "sms", "cost_cents")]
    assert (cost["used"], cost["cap_earliest"], cost["cap_probability"]) == (30, None, 0)
    whole = found[("acme", "", "cost_cents")]
    assert (whole["used"], whole["cap"], whole["cap_is_reached"]) == (183, None, None)
    assert found[("idle", "", "cost_cents")]["expected"] is None
    assert found[("idle", "", "cost_cents")]["history_days"] == 0


def test_a_cap_on_tokens_is_forecast_of_tokens(connection: Connection) -> None:
    """OpenAI's bytes and images are usage of the channel, and no tokens of its cap."""
    connection.execute(
        "insert into marts.tenant_usage_status values ('acme', '2026-11', 'ai', 'units', 'any', 0, 1000, 80, 0, 'ok')"
    )
    for operation, unit, units in (("chat_completion", "tokens", 300), ("vector_store", "bytes", 4_000_000_000)):
        connection.execute(
            "insert into marts.usage_daily values ('acme', %s, 'ai', 'openai', %s, 'outbound', 'openai', '(untracked)', '',"
            " 'provider', %s, %s, 1, 0, 0, 0, 0.1, null, 0)",
            (TODAY, operation, unit, units),
        )
    write_forecasts(connection, AS_OF)
    assert rows(connection)[("acme", "ai", "units")]["used"] == 300


def test_limits_are_those_of_the_newest_month(connection: Connection) -> None:
    limit(connection, "units", "any", 7, "2026-09")
    limit(connection, "units", "any", 500, "2026-10")
    limit(connection, "units", "any", 9, "2026-12")
    fill(connection, 3)
    write_forecasts(connection, AS_OF)
    assert rows(connection)[("acme", "sms", "units")]["cap"] == 500


def test_days_without_a_price_are_said_and_all_of_them_are_no_forecast(connection: Connection) -> None:
    for age in (1, 2, 3):
        used(connection, TODAY - timedelta(days=age), 10, None)
    write_forecasts(connection, AS_OF)
    row = rows(connection)[("acme", "", "cost_cents")]
    assert (row["used"], row["expected"], row["unpriced_unit_count"]) == (None, None, 30)
    used(connection, TODAY - timedelta(days=1), 10, "0.5", "inbound")
    write_forecasts(connection, AS_OF)
    row = rows(connection)[("acme", "", "cost_cents")]
    assert (row["used"], row["unpriced_unit_count"]) == (50, 30)
    assert row["expected"] > 50


def test_a_day_is_replaced_whole_and_earlier_ones_are_kept_a_year(connection: Connection) -> None:
    connection.execute(
        "insert into ops.builds values ('b1', '2026-11-01', '2026-11-17', now(), now(), now(), 'ok', now(), '{}')"
    )
    fill(connection, 20)
    for day in (TODAY - timedelta(days=KEPT_DAYS + 1), TODAY - timedelta(days=KEPT_DAYS), TODAY):
        connection.execute(
            "insert into ops.usage_forecasts (tenant_id, as_of_date, month, channel, metric, direction, history_days,"
            " unpriced_unit_count) values ('gone', %s, '2025-10', '', 'cost_cents', 'any', 1, 0)",
            (day,),
        )
    write_forecasts(connection, AS_OF)
    first = rows(connection)
    assert {key[0] for key in first} == {"acme", "bolt", "idle"}
    assert {row["build_id"] for row in first.values()} == {"b1"}
    write_forecasts(connection, AS_OF)
    again = rows(connection)
    for found in (*first.values(), *again.values()):
        del found["forecast_at"]
    assert again == first
    kept = connection.execute("select as_of_date from ops.usage_forecasts where tenant_id = 'gone'").fetchall()
    assert [day for (day,) in kept] == [TODAY - timedelta(days=KEPT_DAYS)]
