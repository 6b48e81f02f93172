"""The API over marts that dbt has built: its figures are the marts', a tenant sees itself, and builds disturb no reader."""

from __future__ import annotations

import csv
import io
import json
import threading
from collections import defaultdict
from collections.abc import Iterator
from datetime import date, timedelta
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Any

import psycopg
import pytest
from fastapi.testclient import TestClient

from api.auth.tokens import mint
from api.main import create_app
from api.settings import Settings
from costs.rules.services import COUNTED
from tests.e2e.system import System
from tests.proof import LONG
from warehouse.urls import as_role

FIRST, LAST = "2026-09-25", "2026-11-10"
SECRET = "a secret for tests that is long enough"
TENANT_ROUTES = (
    "/api/billing/usage/summary",
    "/api/billing/usage/status",
    "/api/billing/usage/daily?range=30d",
    "/api/billing/usage/features",
    "/api/billing/usage/forecast",
    "/api/billing/usage/export?range=90d",
    "/api/billing/usage/channels/sms/access",
)
ROOT_ROUTES = (
    "/api/admin/billing/usage/system-summary",
    "/api/admin/usage?month=2026-10",
    "/api/admin/usage/freshness",
)


def bearer(role: str, tenant: str | None = None) -> dict[str, str]:
    return {"Authorization": f"Bearer {mint(role, tenant, timedelta(hours=1), SECRET)}"}


@pytest.fixture
def client(built_system: System) -> Iterator[TestClient]:
    """The API on a built system, as it starts from the environment."""
    with TestClient(create_app(Settings()), raise_server_exceptions=False) as found:
        yield found


def cents(exact: Decimal | None) -> int | None:
    return None if exact is None else int(exact.quantize(Decimal(1), ROUND_HALF_EVEN))


def test_every_figure_is_the_marts_and_no_tenant_sees_another(built_system: System, client: TestClient) -> None:
    system = built_system
    tenants = [tenant for (tenant,) in system.query("select tenant_id from marts.tenants where status = 'active'")]
    assert len(tenants) >= 6
    for tenant in tenants:
        if tenant != "unattributed":
            check_summary(system, client, tenant)
            check_daily_and_export(system, client, tenant)
            check_forecast(system, client, tenant)
            check_isolation(client, tenant, [other for other in tenants if other != tenant])
    check_root(system, client)


def check_summary(system: System, client: TestClient, tenant: str) -> None:
    for period in ("2026-10", "2026-11"):
        body = client.get(f"/api/billing/usage/summary?period={period}", headers=bearer("tenant_admin", tenant)).json()
        assert body["tenantId"] == tenant
        shown = {
            channel["channel"]: (
                Decimal(str(channel["unitCount"])),
                channel["requestCount"],
                channel["estimatedCostCents"],
            )
            for channel in body["channels"]
            if channel["requestCount"] or channel["unitCount"]
        }
        stored = {
            channel: (units, requests, cents(cost))
            for channel, units, requests, cost in system.query(
                "select channel, unit_count, request_count, estimated_cost_cents from marts.usage_monthly"
                " where tenant_id = %s and month = %s",
                tenant,
                period,
            )
        }
        assert shown == stored
        statuses = dict(
            system.query(
                "select channel, max(case status when 'ok' then 0 when 'warning' then 1 else 2 end)"
                " from marts.tenant_usage_status where tenant_id = %s and month = %s group by 1",
                tenant,
                period,
            )
        )
        ranks = {"ok": 0, "warning": 1, "over_cap": 2}
        assert {
            channel["channel"]: ranks[channel["status"]]
            for channel in body["channels"]
            if channel["channel"] in statuses
        } == statuses
        assert body["currentPeriod"]["start"] == f"{period}-01"
        assert body["dataAsOf"]


def check_daily_and_export(system: System, client: TestClient, tenant: str) -> None:
    rows = client.get(
        "/api/billing/usage/daily?from=2026-10-01&to=2026-11-10", headers=bearer("tenant_admin", tenant)
    ).json()["rows"]
    shown = {
        (row["date"], row["channel"]): (Decimal(str(row["unitCount"])), row["requestCount"], row["isFinal"])
        for row in rows
        if row["requestCount"] or row["unitCount"]
    }
    stored = {
        (day.isoformat(), channel): (units, requests, is_final)
        for day, channel, units, requests, is_final in system.query(
            "select date, channel, unit_count, request_count, is_final from marts.usage_summary"
            " where tenant_id = %s and date >= '2026-10-01' and (request_count > 0 or unit_count > 0)",
            tenant,
        )
    }
    assert shown == stored
    text = client.get("/api/billing/usage/export?range=90d", headers=bearer("tenant_admin", tenant)).text
    exported: dict[str, Decimal] = defaultdict(Decimal)
    for row in csv.DictReader(io.StringIO(text)):
        exported[row["channel"]] += Decimal(row["count"])
    first = date.fromisoformat(LAST) - timedelta(days=89)
    assert {channel: units for channel, units in exported.items() if units} == dict(
        system.query(
            # A channel's count is in its own unit: no images among the tokens.
            "select channel, sum(unit_count) from marts.usage_daily where tenant_id = %s and date >= %s"
            " and operation <> all(%s) group by 1 having sum(unit_count) <> 0",
            tenant,
            first,
            list(COUNTED),
        )
    )


def check_forecast(system: System, client: TestClient, tenant: str) -> None:
    headers = bearer("tenant_admin", tenant)
    body = client.get("/api/billing/usage/forecast", headers=headers).json()
    summary = client.get("/api/billing/usage/summary", headers=headers).json()
    assert body["forecastDate"] == LAST
    assert body["cost"]["projectedCostUsd"] == summary["projectedCostUsd"]
    limits = {
        (channel["channel"], limit["metric"]): (limit["used"], limit["cap"])
        for channel in summary["channels"]
        for limit in channel["limits"]
    }
    assert {(cap["channel"], cap["metric"]): (cap["used"], cap["cap"]) for cap in body["caps"]} == limits
    ((used, expected, low, high),) = system.query(
        "select used, expected, low, high from ops.usage_forecasts where tenant_id = %s and channel = ''", tenant
    )
    assert (body["cost"]["usedCostCents"], body["cost"]["expectedCostCents"]) == (cents(used), cents(expected))
    if expected is not None:
        assert used <= low <= high
        assert used <= expected


def check_isolation(client: TestClient, tenant: str, others: list[str]) -> None:
    for route in TENANT_ROUTES:
        own = client.get(route, headers=bearer("tenant_admin", tenant))
        assert own.status_code == 200, (route, own.text)
        for other in others:
            assert f'"{other}"' not in own.text, route
        mark = "&" if "?" in route else "?"
        foreign = client.get(f"{route}{mark}tenantId={others[0]}", headers=bearer("tenant_admin", tenant))
        assert foreign.status_code in (403, 404) or foreign.text == own.text, route
    for route in ROOT_ROUTES:
        assert client.get(route, headers=bearer("tenant_admin", tenant)).status_code == 403


def check_root(system: System, client: TestClient) -> None:
    root = bearer("root_admin")
    body = client.get("/api/admin/usage?month=2026-10", headers=root).json()
    stored = {
        tenant: (cents(total), messages, calls)
        for tenant, total, messages, calls in system.query(
            "select tenant_id, total_cost_cents, total_messages, total_ai_calls from marts.tenant_monthly where month = '2026-10'"
        )
    }
    shown = {
        row["tenantId"]: (row["totalCostCents"], row["totalMessages"], row["totalAiCalls"]) for row in body["clients"]
    }
    assert {tenant: shown[tenant] for tenant in stored} == stored
    # Sums are of exact amounts, rounded once: never of what was rounded for people.
    ((exact,),) = system.query("select sum(total_cost_cents) from marts.tenant_monthly where month = '2026-10'")
    assert body["totals"]["totalCostCents"] == cents(exact)
    items = page_through(client, "/api/admin/billing/usage/system-summary?period=2026-10&limit=2", root)
    assert {item["tenantId"]: item["estimatedCostCents"] for item in items if item["tenantId"] in stored} == {
        tenant: total for tenant, (total, _, _) in stored.items()
    }
    # What all tenants are charged with and what is left over is what the providers cost.
    totals = client.get("/api/admin/billing/usage/system-summary?period=2026-10", headers=root).json()["totals"]
    ((whole, shared),) = system.query(
        "select sum(coalesce(billed_cost_cents, estimated_cost_cents)),"
        " sum(coalesce(billed_cost_cents, estimated_cost_cents)) filter (where tenant_id = 'unattributed')"
        " from marts.usage_monthly where month = '2026-10'"
    )
    assert Decimal(totals["fullCostUsd"]) * 100 == Decimal(totals["ownCostUsd"]) * 100 == whole
    assert shared > 0
    assert totals["sharedCostUsd"] == "0"
    assert {row["tableName"] for row in client.get("/api/admin/usage/freshness", headers=root).json()["items"]} >= {
        "twilio_messages",
        "openai_costs",
        "sendgrid_stats",
    }


def page_through(client: TestClient, route: str, headers: dict[str, str]) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = []
    cursor = ""
    while True:
        body = client.get(route + (f"&cursor={cursor}" if cursor else ""), headers=headers).json()
        items += body["items"]
        cursor = body["nextCursor"]
        if not cursor:
            return items


# tests/dbt/test_windows.py has readers of the marts.
@LONG
@pytest.mark.timeout(600)
def test_readers_see_no_error_and_no_half_while_builds_run(built_system: System, client: TestClient) -> None:
    system = built_system
    tenant = system.query("select tenant_id from marts.tenant_monthly where month = '2026-10' order by 1 limit 1")[0][0]
    headers = bearer("tenant_admin", tenant)
    routes = [*TENANT_ROUTES[:4], "/api/billing/usage/summary?period=2026-10"]
    wanted = {route: figures(client.get(route, headers=headers).json()) for route in routes}
    over = threading.Event()
    wrong: list[Any] = []
    read = 0

    def watch() -> None:
        nonlocal read
        while not over.is_set():
            for route in routes:
                answer = client.get(route, headers=headers)
                if answer.status_code != 200 or figures(answer.json()) != wanted[route]:
                    wrong.append((route, answer.status_code, answer.text[:500]))
                read += 1
                # Without a breath the readers, threads of this process, take the builds' time: a thousand reads a minute are
                # enough to meet a half that lasts as long as one statement.
                over.wait(0.01)

    watchers = [threading.Thread(target=watch) for _ in range(3)]
    for watcher in watchers:
        watcher.start()
    try:
        for _ in range(3):
            system.refresh(FIRST, LAST, only="build")
    finally:
        over.set()
        for watcher in watchers:
            watcher.join()
    assert wrong == []
    assert read > 100


def figures(body: dict[str, Any]) -> str:
    """What must not change while the same data is built again."""
    return json.dumps({name: value for name, value in body.items() if name not in ("dataAsOf", "updatedAt", "builtAt")})


def test_the_role_of_the_api_sees_nothing_by_itself_and_can_write_nothing(built_system: System) -> None:
    with psycopg.connect(as_role(built_system.database_url, "metering_api"), autocommit=True) as connection:
        marts = [name for (name,) in connection.execute("select tablename from pg_tables where schemaname = 'marts'")]
        assert len(marts) >= 9
        for mart in marts:
            assert connection.execute(f"select count(*) from marts.{mart}".encode()).fetchone() == (0,), mart
            for statement in (
                f"insert into marts.{mart} default values",
                f"delete from marts.{mart}",
                f"truncate marts.{mart}",
                f"drop table marts.{mart}",
            ):
                with pytest.raises(psycopg.errors.InsufficientPrivilege):
                    connection.execute(statement.encode())
        for statement in (
            "select * from raw.twilio_messages",
            "select * from ops.builds",
            "select * from staging.stg_directory__tenants",
            "create table marts.mine (x int)",
            "create schema mine",
            "select ops.forget_built_usage()",
        ):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute(statement.encode())
        with connection.transaction():
            connection.execute("select set_config('metering.tenant_id', 'acme', true)")
            ((tenants, names),) = connection.execute("select count(*), min(tenant_id) from marts.tenants").fetchall()
        assert (tenants, names) == (1, "acme")
