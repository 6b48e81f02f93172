"""Which conditions hold: the contract's sentences, thresholds to the cent, and who is left alone."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest

from orchestration.alerts import Condition
from orchestration.alerts.conditions import (
    cap_conditions,
    daily_anomaly_conditions,
    projection_conditions,
    spike_conditions,
    threshold_conditions,
    unpriced_conditions,
)

MARTS = Path(__file__).parents[1] / "api" / "marts.sql"
TODAY = date(2026, 11, 20)

Connection = psycopg.Connection[Any]


@pytest.fixture
def connection(database: str) -> Iterator[Connection]:
    with psycopg.connect(database, autocommit=True) as found:
        found.execute(MARTS.read_bytes())
        found.execute(
            "create table staging.alert_thresholds (plan text, monthly_warning_cents numeric, monthly_critical_cents numeric, spike_percent numeric)"
        )
        found.execute(
            "insert into staging.alert_thresholds values (null, 5000, 10000, 50), ('agency', 50000, 100000, 80)"
        )
        for tenant, plan, status in (
            ("acme", "pro", "active"),
            ("big", "agency", "active"),
            ("noplan", None, "active"),
            ("shut", "pro", "suspended"),
            ("gone", "pro", "removed"),
            ("unattributed", None, "active"),
        ):
            found.execute(
                "insert into marts.tenants values (%s, %s, %s, %s, 99, %s, true)",
                (tenant, tenant.title(), plan, plan, status),
            )
        yield found


def cost(
    connection: Connection,
    tenant: str,
    cents: object,
    *,
    previous: object = 0,
    change: object = None,
    projected: object = 0,
) -> None:
    columns = {
        "tenant_id": tenant,
        "month": "2026-11",
        "total_cost_cents": cents,
        "previous_month_cost_cents": previous,
        "cost_change_percent": change,
        "projected_cost_cents": projected,
        "usage_status": "ok",
        "unpriced_unit_count": 0,
        **dict.fromkeys(("total_messages", "total_ai_calls", "total_voice_minutes", "total_emails"), 0),
    }
    names = ", ".join(columns)
    connection.execute(
        f"insert into marts.tenant_monthly ({names}) values ({', '.join(['%s'] * len(columns))})".encode(),
        list(columns.values()),
    )


def told(found: list[Condition]) -> list[tuple[str, str, str | None, str]]:
    return [(one.tenant_id, one.severity, one.channel, one.message) for one in found]


@pytest.mark.parametrize(
    ("cents", "expected"),
    [
        ("5000", []),
        ("5000.000000000000000001", [("warning", "Monthly usage has exceeded $50.00")]),
        ("10000", [("warning", "Monthly usage has exceeded $50.00")]),
        ("10000.01", [("critical", "Monthly usage has exceeded $100.00")]),
        (None, []),
    ],
)
def test_thresholds(connection: Connection, cents: str | None, expected: list[tuple[str, str]]) -> None:
    cost(connection, "acme", cents)
    found = threshold_conditions(connection, TODAY)
    assert [(one.severity, one.message) for one in found] == expected


def test_a_plan_has_thresholds_of_its_own_and_others_the_default(connection: Connection) -> None:
    cost(connection, "big", 60000)
    cost(connection, "noplan", 6000)
    found = threshold_conditions(connection, TODAY)
    assert told(found) == [
        ("big", "warning", None, "Monthly usage has exceeded $500.00"),
        ("noplan", "warning", None, "Monthly usage has exceeded $50.00"),
    ]
    assert found[0].details == {"currentCost": 60000, "threshold": 50000}


def test_suspended_removed_and_unattributed_raise_nothing_about_costs(connection: Connection) -> None:
    for tenant in ("shut", "gone", "unattributed"):
        cost(connection, tenant, 99999, previous=1, change=900, projected=999999)
        connection.execute(
            "insert into marts.tenant_usage_status values (%s, '2026-11', 'sms', 'units', 'any', 20, 10, 80, 200, 'over_cap')",
            (tenant,),
        )
    for read in (threshold_conditions, spike_conditions, projection_conditions, cap_conditions):
        assert read(connection, TODAY) == []


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ("49.9", []),
        ("50", [("warning", "Usage is 50% higher than last month")]),
        ("99.9", [("warning", "Usage is 100% higher than last month")]),
        ("120", [("critical", "Usage is 120% higher than last month")]),
        (None, []),
    ],
)
def test_spikes(connection: Connection, change: str | None, expected: list[tuple[str, str]]) -> None:
    cost(connection, "acme", 300, previous=150, change=change)
    found = spike_conditions(connection, TODAY)
    assert [(one.severity, one.message) for one in found] == expected


@pytest.mark.parametrize(("projected", "expected"), [("14999.99", []), ("15000", ["Projected monthly cost: $150.00"])])
def test_projections(connection: Connection, projected: str, expected: list[str]) -> None:
    cost(connection, "acme", 300, projected=projected)
    assert [one.message for one in projection_conditions(connection, TODAY)] == expected


def test_other_months_are_not_now(connection: Connection) -> None:
    cost(connection, "acme", 99999, previous=1, change=900, projected=999999)
    for read in (threshold_conditions, spike_conditions, projection_conditions):
        assert read(connection, date(2026, 12, 1)) == []


def test_a_channel_is_told_by_its_worst_limit(connection: Connection) -> None:
    for row in (
        ("acme", "2026-11", "sms", "units", "any", 85, 100, 80, 85, "warning"),
        ("acme", "2026-11", "sms", "cost_cents", "any", 600, 500, 80, 120, "over_cap"),
        ("acme", "2026-11", "email", "units", "any", 1234, 1500, 80, 82.27, "warning"),
        ("acme", "2026-11", "ai", "units", "any", 1, 100, 80, 1, "ok"),
        ("acme", "2026-10", "voice", "units", "any", 200, 100, 80, 200, "over_cap"),
    ):
        connection.execute("insert into marts.tenant_usage_status values (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s)", row)
    assert told(cap_conditions(connection, TODAY)) == [
        ("acme", "warning", "email", "The monthly cap of email is near: 1,234 units of 1,500 units used"),
        ("acme", "critical", "sms", "The monthly cap of sms is exceeded: $6.00 of $5.00 used"),
    ]


def daily(
    connection: Connection, tenant: str, day: date, units: float, *, feature: str = "chat", unpriced: float = 0
) -> None:
    connection.execute(
        "insert into marts.usage_daily (tenant_id, date, channel, service, operation, direction, source, feature, model,"
        " evidence, unit, unit_count, request_count, unpriced_unit_count)"
        " values (%s, %s, 'ai', 'openai', 'chat_completion', 'outbound', 'openai', %s, 'gpt-x', 'provider', 'tokens', %s, 1, %s)",
        (tenant, day, feature, units, unpriced),
    )


def summarise(connection: Connection) -> None:
    connection.execute(
        "insert into marts.usage_summary select tenant_id || date || channel, tenant_id, date, channel, 'tokens',"
        " sum(unit_count), 1, null, null, sum(unpriced_unit_count), 0, true, '{}' from marts.usage_daily group by 2, 3, 4"
    )
    connection.execute(
        "insert into marts.usage_monthly select tenant_id, to_char(date, 'YYYY-MM'), channel, 'tokens', sum(unit_count), 1,"
        " null, null, sum(unpriced_unit_count), 0 from marts.usage_daily group by 1, 2, 3"
    )


def test_unpriced_usage_of_any_month_and_anybody_is_told(connection: Connection) -> None:
    daily(connection, "shut", date(2026, 9, 3), 1500, unpriced=1500)
    daily(connection, "unattributed", TODAY, 7, unpriced=7)
    daily(connection, "acme", TODAY, 7)
    summarise(connection)
    found = unpriced_conditions(connection, TODAY)
    assert told(found) == [
        ("shut", "warning", "ai", "1,500 tokens of gpt-x (ai) have no price: add one to price_book.csv"),
        ("unattributed", "warning", "ai", "7 tokens of gpt-x (ai) have no price: add one to price_book.csv"),
    ]
    assert found[0].details == {"units": 1500.0, "since": "2026-09", "models": ["gpt-x"]}


def test_an_unusual_day_names_what_did_it(connection: Connection) -> None:
    yesterday = TODAY - timedelta(days=1)
    for tenant in ("acme", "shut"):
        for back in range(1, 50):
            daily(connection, tenant, yesterday - timedelta(days=back), 100 + back % 3)
        daily(connection, tenant, yesterday, 105)
        daily(connection, tenant, yesterday, 900, feature="imports")
        daily(connection, tenant, TODAY, 9999)  # not over yet
    summarise(connection)
    (found,) = daily_anomaly_conditions(connection, TODAY)
    assert told([found]) == [
        (
            "acme",
            "warning",
            "ai",
            "Unusual usage of ai on 2026-11-19: 1,005 tokens, about 101 expected; most of it by imports, gpt-x, chat_completion",
        )
    ]
    assert (found.details["feature"], found.details["model"], found.details["excess"]) == ("imports", "gpt-x", 900.0)
    assert daily_anomaly_conditions(connection, TODAY - timedelta(days=1)) == []
