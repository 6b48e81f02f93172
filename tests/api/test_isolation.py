"""Nobody sees another tenant's rows: over every route of the OpenAPI document, and in PostgreSQL itself."""

from __future__ import annotations

import re
from collections.abc import Iterator

import psycopg
import pytest
from fastapi.testclient import TestClient

from api.main import create_app
from tests.api.conftest import AppStarter, Headers, bearer, make_settings, seed
from warehouse.urls import as_role

TENANTS = ("acme", "bolt", "cobalt", "dune", "elm", "unattributed")
NAMES = ("Acme Homes", "Bolt Realty", "Cobalt", "Dune", "Elm", "Unattributed")
MARTS = (
    "tenants",
    "usage_daily",
    "usage_summary",
    "usage_monthly",
    "tenant_usage_status",
    "tenant_monthly",
    "tenant_margin_monthly",
    "usage_lines",
    "usage_line_records",
    "focus_cost_and_usage",
)


def _routes(*tags: str) -> Iterator[list[str]]:
    paths = create_app(make_settings("postgresql://x@127.0.0.1:1/x")).openapi()["paths"]
    for tag in tags:
        yield sorted(path for path, item in paths.items() for operation in item.values() if tag in operation["tags"])


TENANT_ROUTES, ROOT_ROUTES = _routes("Tenant usage", "All tenants")


def url(path: str, tenant_id: str = "acme") -> str:
    return path.replace("{channel}", "sms").replace("{tenantId}", tenant_id)


def test_the_routes_are_those_of_the_contract() -> None:
    assert TENANT_ROUTES == [
        "/api/admin/usage/daily",
        "/api/admin/usage/summary",
        "/api/billing/usage/channels/{channel}/access",
        "/api/billing/usage/daily",
        "/api/billing/usage/explain",
        "/api/billing/usage/export",
        "/api/billing/usage/features",
        "/api/billing/usage/forecast",
        "/api/billing/usage/status",
        "/api/billing/usage/summary",
    ]
    assert ROOT_ROUTES == [
        "/api/admin/billing/usage/costs/export",
        "/api/admin/billing/usage/export",
        "/api/admin/billing/usage/system-daily",
        "/api/admin/billing/usage/system-summary",
        "/api/admin/billing/usage/system-summary/export",
        "/api/admin/billing/usage/tenants",
        "/api/admin/usage",
        "/api/admin/usage/alerts",
        "/api/admin/usage/alerts/export",
        "/api/admin/usage/freshness",
        "/api/admin/usage/freshness/export",
        "/api/admin/usage/reconciliation",
        "/api/admin/usage/reconciliation/export",
        "/api/admin/usage/unattributed/resources",
        "/api/admin/usage/unattributed/resources/export",
        "/api/admin/usage/{tenantId}",
        "/api/admin/usage/{tenantId}/explain",
        "/api/root-admin/usage/tenants",
    ]


@pytest.mark.parametrize("path", TENANT_ROUTES + ROOT_ROUTES)
@pytest.mark.parametrize("query", ["", "?period=nonsense&range=x&limit=0&units=x&startDate=x&tenantId=acme"])
def test_anonymous_is_401_whatever_they_ask(client: TestClient, path: str, query: str) -> None:
    assert client.get(url(path) + query).status_code == 401


@pytest.mark.parametrize("path", ROOT_ROUTES)
@pytest.mark.parametrize("query", ["", "?limit=0&month=x&startDate=x&tenantId=acme"])
def test_a_tenant_admin_on_a_root_route_is_403(client: TestClient, acme: Headers, path: str, query: str) -> None:
    answer = client.get(url(path) + query, headers=acme)
    assert answer.status_code == 403
    assert answer.json()["type"] == "urn:usage-metering:problem:wrong-role"


@pytest.mark.parametrize("path", TENANT_ROUTES)
class TestTenantRoutes:
    @pytest.mark.parametrize("other", ["bolt", "unattributed", "nobody", "' or true --"])
    def test_another_tenant_is_404(self, client: TestClient, acme: Headers, path: str, other: str) -> None:
        answer = client.get(url(path), params={"tenantId": other}, headers=acme)
        assert answer.status_code == 404
        assert "Bolt" not in answer.text

    def test_the_own_tenant_may_be_named(self, client: TestClient, acme: Headers, path: str) -> None:
        plain = client.get(url(path), headers=acme)
        named = client.get(url(path), params={"tenantId": "acme"}, headers=acme)
        assert (named.status_code, named.text) == (200, plain.text)

    def test_only_own_rows_come_back(self, client: TestClient, path: str) -> None:
        for tenant_id, name in zip(TENANTS[:5], NAMES, strict=False):
            answer = client.get(url(path), headers=bearer("tenant_admin", tenant_id))
            assert answer.status_code == 200
            others = [other for other in (*TENANTS, *NAMES) if other not in (tenant_id, name)]
            assert not [other for other in others if re.search(rf"\b{re.escape(other)}\b", answer.text)]

    def test_a_token_of_an_unknown_tenant_is_404(self, client: TestClient, path: str) -> None:
        assert client.get(url(path), headers=bearer("tenant_admin", "nobody")).status_code == 404

    def test_root_must_name_a_tenant(self, client: TestClient, root: Headers, path: str) -> None:
        answer = client.get(url(path), headers=root)
        assert answer.status_code == 422
        assert [error["field"] for error in answer.json()["errors"]] == ["tenantId"]
        assert client.get(url(path), params={"tenantId": ""}, headers=root).status_code == 422
        assert client.get(url(path), params={"tenantId": "a\0b"}, headers=root).status_code == 422

    def test_root_sees_what_the_tenant_sees(self, client: TestClient, root: Headers, path: str) -> None:
        for tenant_id in TENANTS[:5]:
            own = client.get(url(path), headers=bearer("tenant_admin", tenant_id))
            seen = client.get(url(path), params={"tenantId": tenant_id}, headers=root)
            assert (seen.status_code, seen.text) == (200, own.text)

    def test_root_sees_unattributed(self, client: TestClient, root: Headers, path: str) -> None:
        assert client.get(url(path), params={"tenantId": "unattributed"}, headers=root).status_code == 200

    def test_root_asking_for_an_unknown_tenant_is_404(self, client: TestClient, root: Headers, path: str) -> None:
        assert client.get(url(path), params={"tenantId": "nobody"}, headers=root).status_code == 404


class TestInPostgreSQL:
    """The second wall: the role and its policies, without the API."""

    @pytest.mark.parametrize("mart", MARTS)
    def test_without_an_identity_there_are_no_rows(self, seeded: str, mart: str) -> None:
        with psycopg.connect(as_role(seeded, "metering_api")) as connection:
            assert connection.execute(f"select * from marts.{mart}".encode()).fetchall() == []

    @pytest.mark.parametrize("mart", MARTS)
    def test_a_query_without_the_predicate_still_sees_one_tenant(self, seeded: str, mart: str) -> None:
        with psycopg.connect(as_role(seeded, "metering_api")) as connection:
            connection.execute("select set_config('metering.tenant_id', 'acme', true)")
            seen = connection.execute(f"select distinct tenant_id from marts.{mart}".encode()).fetchall()
        assert seen == [("acme",)]

    def test_an_identity_ends_with_its_transaction(self, client: TestClient, acme: Headers, seeded: str) -> None:
        client.get("/api/billing/usage/status", headers=acme)
        with psycopg.connect(seeded) as connection:
            idle = connection.execute(
                "select count(*) from pg_stat_activity where datname = current_database()"
                " and state like 'idle in transaction%%'"
            ).fetchone()
        assert idle == (0,)


def test_every_route_works_on_the_oldest_postgresql(oldest_database: str, start_app: AppStarter) -> None:
    seed(oldest_database)
    with start_app(oldest_database) as client:
        for path in TENANT_ROUTES:
            assert client.get(url(path), headers=bearer("tenant_admin", "acme")).status_code == 200
        for path in ROOT_ROUTES:
            assert client.get(url(path), headers=bearer("root_admin")).status_code == 200
        assert client.get("/readyz").status_code == 200
