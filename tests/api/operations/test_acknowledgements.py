"""Acknowledging an alert: who may, what is written, what a second time says, and what the operator's role cannot do."""

from __future__ import annotations

import threading

import psycopg
import pytest

from tests.api.conftest import Headers, bearer, execute
from tests.api.operations.conftest import OperatorStarter
from warehouse.urls import as_role

ALERTS = """
insert into ops.usage_alerts (id, tenant_id, alert_type, severity, channel, message, resolved_at, created_at)
overriding system value values
    (1, 'acme', 'threshold', 'critical', null, 'Monthly usage has exceeded $100.00', null, '2026-11-18 10:00+00'),
    (2, 'acme', 'cap', 'warning', 'sms', 'near', '2026-11-19 10:00+00', '2026-11-18 11:00+00');
insert into ops.alert_outbox (alert_id, round, medium, idempotency_id, tenant_name, body, next_attempt_at, created_at)
values (1, 1, 'sms', 'once', 'Acme', 'text', now(), now())
"""
ROUTE = "/api/admin/usage/alerts/{}/acknowledge"


@pytest.fixture
def alerted(own_database: str) -> str:
    execute(own_database, *ALERTS.split(";\n"))
    return own_database


def test_no_token_401_and_a_tenant_403(alerted: str, start_operator: OperatorStarter, acme: Headers) -> None:
    with start_operator(alerted) as client:
        assert client.post(ROUTE.format(1)).status_code == 401
        assert client.post(ROUTE.format(1), headers=acme).status_code == 403
    with psycopg.connect(alerted) as connection:
        assert connection.execute("select count(*) from ops.alert_acknowledgements").fetchone() == (0,)


def test_who_and_when_and_a_second_time_the_first(alerted: str, start_operator: OperatorStarter) -> None:
    with start_operator(alerted) as client:
        first = client.post(ROUTE.format(1), headers=bearer("root_admin", subject="kim"))
        assert first.status_code == 200, first.text
        body = first.json()
        assert (body["id"], body["tenantId"], body["acknowledged"], body["acknowledgedBy"]) == (1, "acme", True, "kim")
        assert body["acknowledgedAt"].endswith("Z")
        assert body["dataAsOf"] == "2026-11-20T11:45:00Z"
        assert first.headers["cache-control"] == "no-store"
        again = client.post(ROUTE.format(1), headers=bearer("root_admin", subject="lee"))
        assert (again.status_code, again.json()) == (200, body)
        listed = client.get("/api/admin/usage/alerts?acknowledged=true", headers=bearer("root_admin")).json()["items"]
        assert [(item["id"], item["acknowledgedBy"]) for item in listed] == [(1, "kim")]
        # Resolved since: what was said stays said.
        execute(alerted, "update ops.usage_alerts set resolved_at = now() where id = 1")
        assert client.post(ROUTE.format(1), headers=bearer("root_admin", subject="lee")).json() == body
    with psycopg.connect(alerted) as connection:
        assert connection.execute("select state from ops.alert_outbox").fetchall() == [("withdrawn",)]


def test_two_at_once_agree(alerted: str, start_operator: OperatorStarter) -> None:
    found: list[str] = []
    with start_operator(alerted) as client:

        def acknowledge(name: str) -> None:
            headers = bearer("root_admin", subject=name)
            found.append(client.post(ROUTE.format(1), headers=headers).json()["acknowledgedBy"])

        threads = [threading.Thread(target=acknowledge, args=(f"admin{number}",)) for number in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert len(found) == 6
    assert len(set(found)) == 1


@pytest.mark.parametrize(
    ("alert", "status"), [("3", 404), (str(2**63), 404), ("9" * 30, 404), ("0", 422), ("-1", 422), ("x", 422)]
)
def test_an_unknown_alert_is_404_and_no_number_422(
    alerted: str, start_operator: OperatorStarter, root: Headers, alert: str, status: int
) -> None:
    with start_operator(alerted) as client:
        answer = client.post(ROUTE.format(alert), headers=root)
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"


def test_a_resolved_alert_is_409(alerted: str, start_operator: OperatorStarter, root: Headers) -> None:
    with start_operator(alerted) as client:
        answer = client.post(ROUTE.format(2), headers=root)
    assert answer.status_code == 409
    assert answer.json()["title"] == "The alert is resolved"
    assert "2026-11-19 10:00 UTC" in answer.json()["detail"]


def test_it_is_the_operator_s_connection_that_writes(
    alerted: str, start_operator: OperatorStarter, root: Headers
) -> None:
    execute(alerted, "revoke insert on ops.alert_acknowledgements from metering_operator")
    with start_operator(alerted) as client:
        assert client.post(ROUTE.format(1), headers=root).status_code == 503
    away = "postgresql://metering_operator:secret@127.0.0.1:1/metering"
    with start_operator(alerted, METERING_OPERATOR_DATABASE_URL=away) as client:
        answer = client.post(ROUTE.format(1), headers=root)
    assert answer.status_code == 503
    assert "secret" not in answer.text


@pytest.mark.parametrize(
    "statement",
    [
        "select 1 from ops.alert_acknowledgements",
        "update ops.alert_acknowledgements set acknowledged_by = 'x'",
        "delete from ops.alert_acknowledgements",
        "truncate ops.alert_acknowledgements",
        "select 1 from ops.usage_alerts",
        "update ops.usage_alerts set acknowledged = true",
        "select 1 from ops.alerts",
        "select 1 from marts.tenants",
        "select 1 from raw.usage_events",
        "select ops.check_access('acme', 'sms', 1, '2026-11')",
        "create table ops.mine (id int)",
        "create schema mine",
    ],
)
def test_the_operator_can_do_nothing_else(alerted: str, statement: str) -> None:
    with (
        psycopg.connect(as_role(alerted, "metering_operator"), autocommit=True) as connection,
        pytest.raises(psycopg.errors.InsufficientPrivilege),
    ):
        connection.execute(statement.encode())
