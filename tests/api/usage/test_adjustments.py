"""What changed about closed months is shown apart from a month's own cost, to the tenant and to the owner."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest
from fastapi.testclient import TestClient

from tests.api.conftest import AppStarter, Headers, clone, execute, seed
from warehouse.urls import as_role

COLUMNS = (
    "tenant_id, month, date, channel, cost_usd, billed_cost_usd, charged_cost_usd, unit_count, unpriced_unit_count, booked_month, booked_on,"
    " reason, new_price_version, new_code_version, build_id"
)


@pytest.fixture(scope="module")
def adjusted(server: str, template: str) -> Iterator[str]:
    with clone(server, template) as url:
        seed(url)
        execute(
            url,
            "insert into ops.closed_months values"
            " ('2026-09', '2026-09-01', '2026-09-30', now(), 'me', 'x', '', 0, ''),"
            " ('2026-10', '2026-10-01', '2026-10-31', now(), 'me', 'x', '', 0, '')",
            f"insert into ops.cost_adjustments ({COLUMNS}) values"
            " ('acme', '2026-10', '2026-10-30', 'sms', 0.0249, 0, 0.0249, 3, 0, '2026-11', '2026-11-05', 'usage', 'p', 'c', 'b'),"
            " ('acme', '2026-10', '2026-10-31', 'sms', -0.0083, 0, -0.0083, -1, 0, '2026-11', '2026-11-06', 'usage', 'p', 'c', 'b'),"
            " ('acme', '2026-09', '2026-09-01', 'ai', -2.5, 0, -3, 0, 0, '2026-11', '2026-11-06', 'price', 'p', 'c', 'b'),"
            " ('acme', '2026-09', '2026-09-02', 'ai', 9, 0, 9, 0, 0, '2026-10', '2026-10-06', 'price', 'p', 'c', 'b'),"
            " ('bolt', '2026-10', '2026-10-31', 'sms', 0.0083, 0, 0.0083, 1, 0, '2026-11', '2026-11-06', 'attribution', 'p', 'c', 'b')",
            "update marts.tenant_monthly set adjustment_cents = -248.34 where tenant_id = 'acme' and month = '2026-11'",
            "update marts.tenant_monthly set adjustment_cents = 0.83 where tenant_id = 'bolt' and month = '2026-11'",
        )
        yield url


@pytest.fixture(scope="module")
def adjusted_client(adjusted: str, start_app: AppStarter) -> Iterator[TestClient]:
    with start_app(adjusted) as client:
        yield client


def test_a_tenant_sees_what_was_booked_beside_its_own_cost(adjusted_client: TestClient, acme: Headers) -> None:
    body = adjusted_client.get("/api/billing/usage/summary", headers=acme).json()
    assert (body["totalsForPeriod"]["estimatedCostCents"], body["totalsForPeriod"]["estimatedCostUsd"]) == (
        532,
        "5.315",
    )
    assert (body["adjustmentCents"], body["adjustmentUsd"]) == (-248, "-2.4834")
    assert (body["adjustedCostCents"], body["adjustedCostUsd"]) == (283, "2.8316")
    assert body["adjustments"] == [
        {"closedMonth": "2026-09", "channel": "ai", "reason": "price", "unitCount": 0, "costCents": -250, "costUsd": "-2.5", "chargedCostCents": -300, "chargedCostUsd": "-3"},
        {"closedMonth": "2026-10", "channel": "sms", "reason": "usage", "unitCount": 2, "costCents": 2, "costUsd": "0.0166", "chargedCostCents": 2, "chargedCostUsd": "0.0166"},
    ]  # fmt: skip


def test_a_month_without_any_shows_none(client: TestClient, acme: Headers) -> None:
    body = client.get("/api/billing/usage/summary", headers=acme).json()
    assert (body["adjustmentCents"], body["adjustmentUsd"], body["adjustments"]) == (0, "0", [])
    assert body["adjustedCostUsd"] == body["totalsForPeriod"]["estimatedCostUsd"]


def test_a_cost_that_is_not_known_leaves_the_adjustment_alone_known(adjusted_client: TestClient, bolt: Headers) -> None:
    body = adjusted_client.get("/api/billing/usage/summary", headers=bolt).json()
    assert (body["adjustmentUsd"], body["adjustedCostUsd"]) == ("0.0083", "0.0083")


def test_the_owner_sees_them_for_each_tenant_and_in_the_totals(adjusted_client: TestClient, root: Headers) -> None:
    system = adjusted_client.get("/api/admin/billing/usage/system-summary", headers=root).json()
    shown = {item["tenantId"]: (item["adjustmentUsd"], item["estimatedCostUsd"]) for item in system["items"]}
    assert (shown["acme"], shown["bolt"], shown["elm"]) == (("-2.4834", "5.315"), ("0.0083", None), ("0", "0"))
    assert (system["totals"]["adjustmentCents"], system["totals"]["adjustmentUsd"]) == (-248, "-2.4751")
    clients = adjusted_client.get("/api/admin/usage", headers=root).json()
    assert {row["tenantId"]: row["adjustmentCents"] for row in clients["clients"]}["acme"] == -248
    assert clients["totals"]["adjustmentUsd"] == "-2.4751"
    detail = adjusted_client.get("/api/admin/usage/acme", headers=root).json()
    assert detail["currentMonth"]["adjustmentUsd"] == "-2.4834"


@pytest.mark.parametrize(
    ("setting", "value", "seen"),
    [("tenant_id", "acme", ["acme"]), ("tenant_id", "nobody", []), ("role", "root_admin", ["acme", "bolt"])],
)
def test_postgresql_shows_each_tenant_its_own(adjusted: str, setting: str, value: str, seen: list[str]) -> None:
    with psycopg.connect(as_role(adjusted, "metering_api")) as connection:
        assert connection.execute("select * from ops.booked_adjustments").fetchall() == []
        connection.execute(f"select set_config('metering.{setting}', %s, true)".encode(), (value,))
        found = connection.execute("select distinct tenant_id from ops.booked_adjustments order by 1").fetchall()
        assert [tenant for (tenant,) in found] == seen
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute("select 1 from ops.cost_adjustments")
