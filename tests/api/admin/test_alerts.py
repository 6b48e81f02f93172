"""Alerts over HTTP: the owner's list, a tenant's open ones, and who may see what."""

from __future__ import annotations

import csv
import io
import json
from typing import Any

import psycopg
import pytest
from fastapi.testclient import TestClient

from tests.api.conftest import AppStarter, Headers, execute
from warehouse.urls import as_role

ROUTE = "/api/admin/usage/alerts"
ALERTS = """
insert into ops.usage_alerts (tenant_id, alert_type, severity, channel, message, details, resolved_at, created_at) values
    ('acme', 'threshold', 'critical', null, 'Monthly usage has exceeded $100.00',
     '{"currentCost": 12000, "threshold": 10000}', null, '2026-11-18 10:00+00'),
    ('acme', 'cap', 'warning', 'sms', 'near', '{"percentUsed": 85.5}', '2026-11-19 10:00+00', '2026-11-18 11:00+00'),
    ('bolt', 'unpriced', 'warning', 'ai', 'no price', '{}', null, '2026-11-18 12:00+00');
"""
ACKNOWLEDGE = (
    "insert into ops.alert_acknowledgements values ((select id from ops.usage_alerts where tenant_id = 'bolt'), 'ada',"
    " '2026-11-20 09:00+00')"
)


@pytest.fixture
def alerted(own_database: str) -> str:
    execute(own_database, ALERTS)
    return own_database


def ask(client: TestClient, root: Headers, query: str = "") -> Any:
    answer = client.get(f"{ROUTE}?{query}", headers=root)
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_filters_pages_and_columns(alerted: str, start_app: AppStarter, root: Headers) -> None:
    execute(alerted, ACKNOWLEDGE)

    def kinds(query: str) -> list[str]:
        return [item["alertType"] for item in ask(client, root, query)["items"]]

    with start_app(alerted) as client:
        assert kinds("") == ["unpriced", "cap", "threshold"]
        assert kinds("acknowledged=false") == ["cap", "threshold"]
        assert kinds("acknowledged=true") == ["unpriced"]
        assert kinds("acknowledged=false&state=open") == ["threshold"]
        assert kinds("state=resolved") == ["cap"]
        assert kinds("tenantId=acme&type=cap") == ["cap"]
        assert kinds("severity=critical") == ["threshold"]
        first = ask(client, root, "limit=2")
        assert [item["alertType"] for item in first["items"]] == ["unpriced", "cap"]
        last = ask(client, root, f"limit=2&cursor={first['nextCursor']}")
        assert ([item["alertType"] for item in last["items"]], last["nextCursor"]) == (["threshold"], None)
        (item,) = last["items"]
        assert item.pop("id") > 0
        assert item == {
            "tenantId": "acme",
            "tenantName": "Acme Homes",
            "alertType": "threshold",
            "severity": "critical",
            "channel": None,
            "message": "Monthly usage has exceeded $100.00",
            "details": {"currentCost": 12000, "threshold": 10000},
            "acknowledged": False,
            "acknowledgedAt": None,
            "acknowledgedBy": None,
            "resolvedAt": None,
            "createdAt": "2026-11-18T10:00:00Z",
            "lastSentAt": None,
            "subject": None,
            "snoozedUntil": None,
            "notes": [],
        }
        assert (
            first["totals"]
            == last["totals"]
            == {
                "open": 2,
                "unacknowledged": 1,
                "critical": 1,
                "warning": 1,
                "info": 0,
            }
        )
        seen = first["items"][0]
        assert (seen["acknowledgedBy"], seen["acknowledgedAt"]) == ("ada", "2026-11-20T09:00:00Z")


def test_it_is_sorted_searched_and_sent_as_a_file(alerted: str, start_app: AppStarter, root: Headers) -> None:
    execute(alerted, ACKNOWLEDGE)
    with start_app(alerted) as client:

        def kinds(query: str) -> list[str]:
            return [item["alertType"] for item in ask(client, root, query)["items"]]

        assert kinds("sort=severity") == ["threshold", "unpriced", "cap"]
        assert kinds("sort=createdAt&order=asc") == ["threshold", "cap", "unpriced"]
        assert kinds("sort=message&order=asc") == ["threshold", "cap", "unpriced"]
        assert kinds("sort=tenantName") == ["unpriced", "cap", "threshold"]
        assert kinds("sort=acknowledged") == ["unpriced", "cap", "threshold"]
        assert kinds("search=EXCEEDED") == kinds("search=%24100") == ["threshold"]
        assert kinds("search=acme+ho") == ["cap", "threshold"]
        for sort in ("severity", "type", "lastSentAt", "message"):
            found, cursor = [], ""
            while True:
                body = ask(client, root, f"sort={sort}&limit=1{cursor}")
                found += [item["alertType"] for item in body["items"]]
                if body["nextCursor"] is None:
                    break
                cursor = f"&cursor={body['nextCursor']}"
            assert found == kinds(f"sort={sort}")
        answer = client.get(f"{ROUTE}/export?search=acme&limit=1", headers=root)
        rows = list(csv.DictReader(io.StringIO(answer.text)))
        assert [(row["alert_type"], row["acknowledged"], row["created_at"]) for row in rows] == [
            ("cap", "false", "2026-11-18T11:00:00Z"),
            ("threshold", "false", "2026-11-18T10:00:00Z"),
        ]
        assert json.loads(rows[1]["details"]) == {"currentCost": 12000, "threshold": 10000}


@pytest.mark.parametrize("query", ["acknowledged=perhaps", "state=odd", "type=x", "severity=x", "limit=0", "cursor=x"])
def test_bad_input_is_422(client: TestClient, root: Headers, query: str) -> None:
    assert client.get(f"{ROUTE}?{query}", headers=root).status_code == 422


def test_a_cursor_of_another_list_is_422(alerted: str, start_app: AppStarter, root: Headers) -> None:
    with start_app(alerted) as client:
        cursor = ask(client, root, "limit=1")["nextCursor"]
        assert client.get(f"{ROUTE}?severity=warning&cursor={cursor}", headers=root).status_code == 422


def test_a_tenant_s_page_has_its_open_alerts_and_a_new_tag_when_they_change(
    alerted: str, start_app: AppStarter, root: Headers
) -> None:
    with start_app(alerted) as client:
        before = client.get("/api/admin/usage/acme", headers=root)
        assert [item["alertType"] for item in before.json()["alerts"]] == ["threshold"]
        assert before.json()["alerts"][0]["createdAt"] == "2026-11-18T10:00:00Z"
        execute(alerted, "update ops.usage_alerts set resolved_at = now()")
        headers = {**root, "If-None-Match": before.headers["etag"]}
        after = client.get("/api/admin/usage/acme", headers=headers)
        assert (after.status_code, after.json()["alerts"]) == (200, [])


def test_postgresql_shows_a_tenant_its_own_alerts_and_nobody_else_s(alerted: str) -> None:
    with psycopg.connect(as_role(alerted, "metering_api"), autocommit=True) as connection:

        def seen(**settings: str) -> list[str]:
            with connection.transaction():
                for name, value in settings.items():
                    connection.execute("select set_config(%s, %s, true)", (f"metering.{name}", value))
                rows = connection.execute("select distinct tenant_id from ops.alerts order by 1").fetchall()
            return [tenant for (tenant,) in rows]

        assert seen() == []
        assert seen(tenant_id="acme", role="tenant_admin") == ["acme"]
        assert seen(tenant_id="", role="root_admin") == ["acme", "bolt"]
        for table in ("usage_alerts", "alert_outbox", "alert_acknowledgements"):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute(f"select 1 from ops.{table}".encode())
