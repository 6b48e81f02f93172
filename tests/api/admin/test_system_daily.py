"""GET /api/admin/billing/usage/system-daily: what all tenants cost by day, beside the month before."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import psycopg
import pytest
from fastapi.testclient import TestClient

from tests.api.admin.test_kept_lists import build
from tests.api.conftest import AppStarter, Headers, execute
from warehouse.urls import as_role

ROUTE = "/api/admin/billing/usage/system-daily"
SUMMARY = "/api/admin/billing/usage/system-summary"


def ask(client: TestClient, headers: Headers, query: str = "") -> dict[str, Any]:
    answer = client.get(f"{ROUTE}?{query}", headers=headers)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def test_every_day_of_the_month_so_far_is_there(client: TestClient, root: Headers) -> None:
    body = ask(client, root)
    assert (body["start"], body["end"], body["comparedDays"]) == ("2026-11-01", "2026-11-20", 19)
    assert [day["date"] for day in body["days"]] == [f"2026-11-{day:02}" for day in range(1, 21)]
    assert len(body["previousDays"]) == 31
    assert body["days"][0] == {
        "date": "2026-11-01",
        "requestCount": 300,
        "costCents": 316,
        "costUsd": "3.16",
        "groups": [{"key": "twilio", "requestCount": 300, "costCents": 316, "costUsd": "3.16"}],
    }
    # Unpriced is unknown, not free; nothing used is.
    assert (body["days"][9]["costUsd"], body["days"][1]["costUsd"]) == (None, "0")


@pytest.mark.parametrize("group_by", ["provider", "service", "tenant"])
@pytest.mark.parametrize("period", ["2026-11", "2026-10"])
def test_sums_are_those_of_the_list_of_tenants(client: TestClient, root: Headers, period: str, group_by: str) -> None:
    body = ask(client, root, f"period={period}&groupBy={group_by}")
    whole = client.get(f"{SUMMARY}?period={period}", headers=root).json()["totals"]["estimatedCostUsd"]
    assert body["costUsd"] == whole

    def added(costs: list[str | None]) -> Decimal:
        return sum((Decimal(cost) for cost in costs if cost), Decimal(0))

    assert added([group["costUsd"] for group in body["groups"]]) == Decimal(whole)
    assert added([day["costUsd"] for day in body["days"]]) == Decimal(whole)
    for day in body["days"]:
        assert added([group["costUsd"] for group in day["groups"]]) == Decimal(day["costUsd"] or 0)
        assert sum(group["requestCount"] for group in day["groups"]) == day["requestCount"]


def test_the_months_complete_days_are_compared_with_as_many(client: TestClient, root: Headers) -> None:
    body = ask(client, root)
    # Today's 0.18 is not over; of October's first 19 days: 0.0079 and 0.04.
    assert (body["comparedCostUsd"], body["previousCostUsd"]) == ("5.17", "0.0479")
    assert body["changePercent"] == pytest.approx(100 * (5.17 - 0.0479) / 0.0479, abs=0.05)
    assert body["previousMonthCostUsd"] == "7.9479"
    twilio = next(group for group in body["groups"] if group["key"] == "twilio")
    assert (twilio["name"], twilio["comparedCostUsd"], twilio["previousCostUsd"]) == ("Twilio", "5.135", "0.0479")
    finished = ask(client, root, "period=2026-10")
    assert (finished["comparedDays"], finished["comparedCostUsd"], finished["changePercent"]) == (31, "7.9479", None)


def test_a_thousand_tenants_are_the_dearest_and_the_rest(
    own_database: str, start_app: AppStarter, root: Headers
) -> None:
    execute(
        own_database,
        "insert into marts.tenants select 'many-' || n, 'Many ' || n, 'pro', 'Pro', 1, 'active', false from generate_series(1, 30) as n",
        "insert into marts.usage_daily (tenant_id, date, channel, service, operation, direction, source, feature, model, evidence,"
        " unit, unit_count, request_count, estimated_cost_usd, unpriced_unit_count) select 'many-' || n, '2026-11-03', 'sms',"
        " 'twilio_sms', 'outbound', 'outbound', 'twilio', '', '', 'provider', 'segments', 1, 1, n, 0 from generate_series(1, 30) as n",
        "insert into marts.usage_summary select 'm' || n, 'many-' || n, '2026-11-03', 'sms', 'segments', 1, 1, n * 100, null, 0, 0,"
        " true, '{}' from generate_series(1, 30) as n",
        "insert into marts.tenant_monthly (tenant_id, month, total_cost_cents, total_messages, total_ai_calls, total_voice_minutes,"
        " total_emails, usage_status, unpriced_unit_count)"
        " select 'many-' || n, '2026-11', n * 100, 1, 0, 0, 0, 'ok', 0 from generate_series(1, 30) as n",
    )
    with start_app(own_database) as client:
        body = ask(client, root, "groupBy=tenant")
    assert [group["key"] for group in body["groups"]] == [*(f"many-{n}" for n in range(30, 22, -1)), ""]
    assert (body["groups"][0]["name"], body["groups"][-1]["name"]) == ("Many 30", "All others")
    (day,) = [day for day in body["days"] if day["date"] == "2026-11-03"]
    assert day["groups"][-1] == {"key": "", "requestCount": 22, "costCents": 25300, "costUsd": "253"}


def test_what_a_build_has_kept_says_the_same(own_database: str, start_app: AppStarter, root: Headers) -> None:
    with start_app(own_database) as client:
        made = ask(client, root, "groupBy=service")
    with psycopg.connect(own_database, autocommit=True) as connection:
        build(connection, "one")
        kept = connection.execute("select count(*) from ops.list_days where month = '2026-11'").fetchone()
    assert kept is not None
    assert kept[0] > 0
    with start_app(own_database) as client:
        body = ask(client, root, "groupBy=service")
    assert {**body, "dataAsOf": None} == {**made, "dataAsOf": None}
    for setting, rows in (("metering.tenant_id = 'acme'", 0), ("metering.role = 'root_admin'", kept[0])):
        with psycopg.connect(as_role(own_database, "metering_api"), autocommit=True) as connection:
            connection.execute(f"set {setting}".encode())
            found = connection.execute("select count(*) from ops.kept_days where month = '2026-11'").fetchone()
            assert found == (rows,)
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute("select * from ops.list_days")


@pytest.fixture
def answered(own_database: str) -> str:
    """URL of a database: Twilio's messages were answered from the 10th to the 16th (and the 18th and 19th), R2 from the 19th to today."""
    execute(
        own_database,
        "insert into ops.source_reads select 'twilio_messages', 'AC2', day::date, 'twilio', 'load-2', now(), 0, 0"
        " from generate_series(timestamp '2026-11-10', timestamp '2026-11-16', interval '1 day') as day",
        "insert into ops.source_reads select 'r2_storage', 'R2', day::date, 'cloudflare', 'load-2', now(), 0, 0"
        " from generate_series(timestamp '2026-11-19', timestamp '2026-11-20', interval '1 day') as day",
    )
    return own_database


def gap(key: str | None, state: str, first: int, last: int, *providers: str) -> dict[str, Any]:
    days = {"from": f"2026-11-{first:02}", "to": f"2026-11-{last:02}"}
    return {"key": key, "state": state, **days, "providers": [*providers]}


@pytest.mark.parametrize(
    ("group_by", "sms", "r2", "whole"),
    [
        ("provider", "twilio", "cloudflare", False),
        ("service", "twilio_sms", "cloudflare_r2", False),
        ("tenant", None, None, True),
    ],
)
def test_days_that_nobody_answered_for_are_told(
    answered: str, start_app: AppStarter, root: Headers, group_by: str, sms: str | None, r2: str | None, whole: bool
) -> None:
    with start_app(answered) as client:
        body = ask(client, root, f"groupBy={group_by}")
        # Before any day that was read, and after the build's.
        earlier = ask(client, root, f"period=2026-10&groupBy={group_by}")["gaps"]
    missed = [gap(sms, "no_answer", 17, 17, "twilio"), gap(sms, "no_answer", 20, 20, "twilio")]
    if whole:
        # Of all of them nothing is known until the first is read; then any answer may be missed.
        assert body["gaps"] == [gap(None, "not_metered", 1, 9, "cloudflare", "twilio"), *missed]
        assert [(found["from"], found["to"]) for found in earlier] == [("2026-10-01", "2026-10-31")]
        return
    assert body["gaps"] == [
        gap(sms, "not_metered", 1, 9, "twilio"),
        *missed,
        gap(r2, "not_metered", 1, 18, "cloudflare"),
    ]
    assert r2 not in [group["key"] for group in body["groups"]]
    assert {(found["key"], found["state"]) for found in earlier} == {(sms, "not_metered"), (r2, "not_metered")}


def test_before_any_build_no_answer_is_missing(own_database: str, start_app: AppStarter, root: Headers) -> None:
    execute(own_database, "delete from ops.builds", "delete from ops.source_reads")
    with start_app(own_database) as client:
        assert ask(client, root)["gaps"] == []


@pytest.mark.parametrize("query", ["period=2027-01", "groupBy=channel", "period=nonsense", "groupby=service"])
def test_bad_input_is_422(client: TestClient, root: Headers, query: str) -> None:
    assert client.get(f"{ROUTE}?{query}", headers=root).status_code == 422
