"""One open alert while its condition holds, resolved when it ends, a new one afterwards."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import psycopg
import pytest

from costs.alerts import Condition, Settled, drift_conditions, settle
from costs.alerts.facts import unknown_tenants
from costs.alerts.rules import MonthSoFar, of_month, of_unknown_tenants

MARTS = Path(__file__).parents[1] / "api" / "marts.sql"
DRIFT = Condition("acme", "drift", "warning", "sms", "differs", {"percentChange": 2.0})


@pytest.fixture
def connection(database: str) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(database, autocommit=True) as found:
        yield found


def stored(connection: psycopg.Connection[Any]) -> list[tuple[Any, ...]]:
    return connection.execute(
        "select tenant_id, channel, resolved_at is null from ops.usage_alerts order by id"
    ).fetchall()


def test_an_alert_opens_once_stays_and_is_resolved(connection: psycopg.Connection[Any]) -> None:
    assert settle(connection, ["drift"], [DRIFT]) == Settled(1, 0, 1)
    assert settle(connection, ["drift"], [DRIFT]) == Settled(0, 0, 1)
    assert stored(connection) == [("acme", "sms", True)]
    assert settle(connection, ["drift"], []) == Settled(0, 1, 0)
    assert stored(connection) == [("acme", "sms", False)]
    assert settle(connection, ["drift"], [DRIFT]) == Settled(1, 0, 1)
    assert stored(connection) == [("acme", "sms", False), ("acme", "sms", True)]


def test_alerts_of_other_types_and_channels_are_left_alone(connection: psycopg.Connection[Any]) -> None:
    whole = Condition("acme", "threshold", "critical", None, "exceeded")
    settle(connection, ["drift", "threshold"], [DRIFT, whole])
    assert settle(connection, ["drift"], []) == Settled(0, 1, 0)
    assert stored(connection) == [("acme", "sms", False), ("acme", None, True)]


def test_of_two_words_about_one_condition_the_worse_one_holds(connection: psycopg.Connection[Any]) -> None:
    worse = replace(DRIFT, severity="critical", message="differs much")
    other = replace(DRIFT, subject="sendgrid totals")
    assert settle(connection, ["drift"], [DRIFT, worse, other, DRIFT]) == Settled(2, 0, 2, 2)
    assert connection.execute("select severity, subject, message from ops.usage_alerts order by id").fetchall() == [
        ("critical", None, "differs much"),
        ("warning", "sendgrid totals", "differs"),
    ]
    assert settle(connection, ["drift"], [DRIFT, other]) == Settled(1, 1, 2)


def test_the_database_itself_keeps_one_open(connection: psycopg.Connection[Any]) -> None:
    settle(connection, ["drift"], [DRIFT])
    with pytest.raises(psycopg.errors.UniqueViolation):
        connection.execute(
            "insert into ops.usage_alerts (tenant_id, alert_type, severity, channel, message)"
            " values ('acme', 'drift', 'critical', 'sms', 'again')"
        )


def test_drift_of_this_month_and_the_one_before(connection: psycopg.Connection[Any]) -> None:
    connection.execute(MARTS.read_bytes())
    for day, state, percent in (
        ("2026-09-30", "drift", 50),
        ("2026-10-01", "drift", 3),
        ("2026-11-02", "drift", 2),
        ("2026-11-03", "matched", 0),
    ):
        connection.execute(
            "insert into marts.usage_reconciliation values ('acme', %s, 'twilio_sms', 100, 97, 3, %s, %s, 1, 0, 0, 0, 0)",
            (day, percent, state),
        )
    (found,) = drift_conditions(connection, date(2026, 11, 20))
    assert (found.tenant_id, found.channel, found.severity) == ("acme", "sms", "warning")
    assert found.message == "Tracked usage differs from the provider's by up to 3.0% on 2 days, last on 2026-11-02"
    assert found.details == {"percentChange": 3.0, "days": 2, "lastDate": "2026-11-02"}


def test_a_providers_own_totals_are_another_matter_than_what_was_tracked(connection: psycopg.Connection[Any]) -> None:
    """One open alert a channel: it says both."""
    connection.execute(MARTS.read_bytes())
    for day, service, percent in (
        ("2026-11-02", "twilio_sms", 2),
        ("2026-11-02", "twilio_sms_total", 4),
        ("2026-11-03", "twilio_sms_total", 3),
        ("2026-11-03", "twilio_voice_total", 7),
        ("2026-11-03", "twilio_voice_recording", 5),
        ("2026-11-03", "openai_image", 6),
        ("2026-11-03", "cloudflare_r2_storage", 8),
    ):
        connection.execute(
            "insert into marts.usage_reconciliation values ('acme', %s, %s, 100, 97, 3, %s, 'drift', 1, 0, 0, 0, 0)",
            (day, service, percent),
        )
    found = {condition.channel: condition for condition in drift_conditions(connection, date(2026, 11, 20))}
    assert found.keys() == {"sms", "voice", "recording", "ai", "storage"}
    assert found["sms"].message == (
        "Tracked usage differs from the provider's by up to 2.0% on 1 day, last on 2026-11-02; "
        "The provider's records differ from its own totals by up to 4.0% on 2 days, last on 2026-11-03"
    )
    assert found["sms"].details == {"percentChange": 4.0, "days": 2, "lastDate": "2026-11-03"}
    assert found["voice"].message == (
        "The provider's records differ from its own totals by up to 7.0% on 1 day, last on 2026-11-03"
    )


def test_what_gets_worse_has_one_open_alert(connection: psycopg.Connection[Any]) -> None:
    """The $50 warning does not stay beside the $100 critical one."""
    month = MonthSoFar("acme", "Acme", Decimal(6000), None, None, None)
    for cents, opened in ((6000, ["warning"]), (12000, ["critical"]), (12001, ["critical"]), (1, [])):
        settle(connection, ["threshold"], of_month(replace(month, cost_cents=Decimal(cents))))
        found = connection.execute("select severity from ops.usage_alerts where resolved_at is null").fetchall()
        assert [severity for (severity,) in found] == opened
    assert connection.execute("select count(*) from ops.usage_alerts").fetchone() == (2,)


def test_a_tenant_that_the_directory_does_not_know_is_told_until_it_does(connection: psycopg.Connection[Any]) -> None:
    connection.execute(
        "insert into raw.tenants (tenant_id, name, status, usage_hard_stop_enabled) values ('acme', 'Acme', 'active', false)"
    )
    connection.execute(
        "insert into raw.usage_events (event_key, tenant_id, service, channel, occurred_at)"
        " select tenant || n, tenant, 'internal', 'other', day::timestamptz + interval '1 hour'"
        " from (values ('acme', '2026-11-20Z'), ('unattributed', '2026-11-20Z'), ('ghost', '2026-11-19Z'),"
        " ('ghost', '2026-11-20Z'), ('long gone', '2026-09-01Z')) as told (tenant, day), generate_series(1, 6) as n"
    )
    today = date(2026, 11, 21)
    [found] = of_unknown_tenants(unknown_tenants(connection, today))
    sentence = "Events name tenants that the directory does not know (ghost 12 times), the last on 2026-11-20"
    assert (found.tenant_id, found.alert_type, found.severity, found.message) == (
        *("unattributed", "unknown_tenant", "warning"),
        sentence,
    )
    assert found.details["tenants"] == [{"tenantId": "ghost", "events": 12, "lastDate": "2026-11-20"}]
    assert settle(connection, ["unknown_tenant"], [found]).opened == 1
    connection.execute(
        "insert into raw.tenants (tenant_id, name, status, usage_hard_stop_enabled) values ('ghost', 'Ghost', 'active', false)"
    )
    assert of_unknown_tenants(unknown_tenants(connection, today)) == []
    assert settle(connection, ["unknown_tenant"], []).resolved == 1
