"""What a frontend of another origin needs: CORS, compression that keeps tags true, parameters that are refused by name, a document to generate from."""

from __future__ import annotations

import gzip
from typing import Any

import pytest
from fastapi.testclient import TestClient

from api.settings import SettingsError
from tests.api.conftest import AppStarter, Headers, bearer, make_settings
from tests.api.test_caching import caller
from tests.api.test_isolation import ROOT_ROUTES, TENANT_ROUTES, url

ORIGIN = "https://app.example.com"
STATUS = "/api/billing/usage/status"


class TestOrigins:
    def test_none_may_read_unless_it_is_named(self, client: TestClient, acme: Headers) -> None:
        answer = client.get(STATUS, headers={**acme, "Origin": ORIGIN})
        assert "access-control-allow-origin" not in answer.headers

    def test_a_named_one_may_read_and_keep(self, seeded: str, start_app: AppStarter, acme: Headers) -> None:
        with start_app(seeded, METERING_CORS_ORIGINS=f"http://127.0.0.1:5173, {ORIGIN}") as client:
            asked = client.options(
                STATUS,
                headers={
                    "Origin": ORIGIN,
                    "Access-Control-Request-Method": "GET",
                    "Access-Control-Request-Headers": "authorization, if-none-match",
                },
            )
            answer = client.get(STATUS, headers={**acme, "Origin": ORIGIN})
            again = client.get(STATUS, headers={**acme, "Origin": ORIGIN, "If-None-Match": answer.headers["etag"]})
            refused = client.get(STATUS, headers={"Origin": ORIGIN})
        assert (asked.status_code, asked.headers["access-control-allow-origin"]) == (200, ORIGIN)
        assert asked.headers["access-control-allow-methods"] == "GET, HEAD, OPTIONS"
        for response in (answer, again, refused):
            assert response.headers["access-control-allow-origin"] == ORIGIN
            assert "Origin" in response.headers["vary"]
            assert "access-control-allow-credentials" not in response.headers
        assert "ETag" in answer.headers["access-control-expose-headers"]
        assert (again.status_code, refused.status_code) == (304, 401)

    @pytest.mark.parametrize(
        "asked",
        [
            {"Origin": "https://evil.example", "Access-Control-Request-Method": "GET"},
            {"Origin": "https://app.example.com.evil.example", "Access-Control-Request-Method": "GET"},
            {"Origin": "null", "Access-Control-Request-Method": "GET"},
            {"Origin": ORIGIN, "Access-Control-Request-Method": "POST"},
            {
                "Origin": ORIGIN,
                "Access-Control-Request-Method": "GET",
                "Access-Control-Request-Headers": "x-csrf-token",
            },
        ],
    )
    def test_nothing_else_is_allowed(self, seeded: str, start_app: AppStarter, asked: Headers) -> None:
        with start_app(seeded, METERING_CORS_ORIGINS=ORIGIN) as client:
            assert client.options(STATUS, headers=asked).status_code == 400

    @pytest.mark.parametrize(
        "value",
        ["*", "null", "https://*.example.com", "https://app.example.com/", "app.example.com", "https://A.example"],
    )
    def test_what_no_browser_sends_is_refused_at_the_start(self, value: str) -> None:
        with pytest.raises(SettingsError, match="METERING_CORS_ORIGINS"):
            make_settings("postgresql://x@127.0.0.1:1/x", METERING_CORS_ORIGINS=value).allowed_origins()


class TestCompression:
    def test_a_long_answer_is_the_same_and_has_the_same_weak_tag(self, client: TestClient, acme: Headers) -> None:
        path = "/api/billing/usage/daily?range=366d"
        plain = client.get(path, headers={**acme, "Accept-Encoding": "identity"})
        packed = client.get(path, headers={**acme, "Accept-Encoding": "gzip"})
        assert "content-encoding" not in plain.headers
        assert packed.headers["content-encoding"] == "gzip"
        assert packed.content == plain.content
        assert int(packed.headers["content-length"]) < len(plain.content) / 5
        assert packed.headers["etag"] == plain.headers["etag"]
        assert packed.headers["etag"].startswith('W/"')
        for response in (plain, packed):
            assert "Accept-Encoding" in response.headers["vary"]
            assert "Authorization" in response.headers["vary"]

    def test_the_tag_of_one_encoding_spares_the_other(self, client: TestClient, acme: Headers) -> None:
        path = "/api/billing/usage/daily?range=366d"
        etag = client.get(path, headers={**acme, "Accept-Encoding": "gzip"}).headers["etag"]
        known = client.get(path, headers={**acme, "Accept-Encoding": "identity", "If-None-Match": etag})
        assert (known.status_code, known.content) == (304, b"")
        assert "Accept-Encoding" in known.headers["vary"]

    def test_a_file_that_is_packed_already_is_left_alone(self, client: TestClient, acme: Headers) -> None:
        answer = client.get("/api/billing/usage/export?format=focus&fileType=parquet", headers=acme)
        assert "content-encoding" not in answer.headers
        assert answer.content.startswith(b"PAR1")

    def test_a_file_is_packed_while_it_is_sent(self, client: TestClient, acme: Headers) -> None:
        path = "/api/billing/usage/export?format=focus&range=90d"
        with client.stream("GET", path, headers=acme) as answer:
            raw = b"".join(answer.iter_raw())
        assert answer.headers["content-encoding"] == "gzip"
        assert gzip.decompress(raw) == client.get(path, headers={**acme, "Accept-Encoding": "identity"}).content


@pytest.mark.parametrize("path", TENANT_ROUTES + ROOT_ROUTES)
class TestUnknownParameters:
    @pytest.mark.parametrize("name", ["perod", "group_by", "TENANTID", "a b", "x[]"])
    def test_each_is_422_by_its_name(self, client: TestClient, path: str, name: str) -> None:
        answer = client.get(url(path), params={name: "1"}, headers=caller(path))
        assert answer.status_code == 422
        assert answer.headers["content-type"] == "application/problem+json"
        assert [error["field"] for error in answer.json()["errors"]] == [name]

    def test_those_of_the_document_are_known(self, client: TestClient, document: dict[str, Any], path: str) -> None:
        parameters = document["paths"][path]["get"].get("parameters", [])
        names = [parameter["name"] for parameter in parameters if parameter["in"] == "query"]
        answer = client.get(url(path), params=dict.fromkeys(names, "\t?"), headers=caller(path))
        assert not any("no such parameter" in error["message"] for error in answer.json().get("errors", []))

    def test_who_may_not_ask_learns_nothing_of_them(self, client: TestClient, path: str) -> None:
        assert client.get(url(path), params={"perod": "1"}).status_code == 401
        if path in ROOT_ROUTES:
            asked = client.get(url(path), params={"perod": "1"}, headers=bearer("tenant_admin", "acme"))
            assert asked.status_code == 403


def test_a_page_takes_whatever_a_link_has(client: TestClient, acme: Headers) -> None:
    assert client.get("/settings/billing-usage?utm_source=mail", headers=acme).status_code == 200


@pytest.fixture(scope="module")
def document(session_client: TestClient) -> dict[str, Any]:
    body: dict[str, Any] = session_client.get("/openapi.json").json()
    return body


# Generated clients have functions of these names: a name may be added, and none changed.
OPERATIONS = {
    "getMetrics": "/metrics",
    "getHealthz": "/healthz",
    "getReadyz": "/readyz",
    "getAdminUsageSummary": "/api/admin/usage/summary",
    "getBillingUsageSummary": "/api/billing/usage/summary",
    "getBillingUsageStatus": "/api/billing/usage/status",
    "getAdminUsageDaily": "/api/admin/usage/daily",
    "getBillingUsageDaily": "/api/billing/usage/daily",
    "getBillingUsageFeatures": "/api/billing/usage/features",
    "getBillingUsageChannelsByChannelAccess": "/api/billing/usage/channels/{channel}/access",
    "getBillingUsageExport": "/api/billing/usage/export",
    "getBillingUsageForecast": "/api/billing/usage/forecast",
    "getAdminUsageAlerts": "/api/admin/usage/alerts",
    "getBillingUsageExplain": "/api/billing/usage/explain",
    "getAdminUsageByTenantIdExplain": "/api/admin/usage/{tenantId}/explain",
    "getAdminBillingUsageExport": "/api/admin/billing/usage/export",
    "getRootAdminUsageTenants": "/api/root-admin/usage/tenants",
    "getAdminBillingUsageTenants": "/api/admin/billing/usage/tenants",
    "getAdminBillingUsageSystemSummary": "/api/admin/billing/usage/system-summary",
    "getAdminBillingUsageSystemSummaryExport": "/api/admin/billing/usage/system-summary/export",
    "getAdminUsage": "/api/admin/usage",
    "getAdminUsageReconciliation": "/api/admin/usage/reconciliation",
    "getAdminUsageFreshness": "/api/admin/usage/freshness",
    "getAdminUsageByTenantId": "/api/admin/usage/{tenantId}",
}


class TestDocument:
    def test_operations_keep_their_names(self, document: dict[str, Any]) -> None:
        named = {
            operation["operationId"]: path for path, item in document["paths"].items() for operation in item.values()
        }
        assert {name: named.get(name) for name in OPERATIONS} == OPERATIONS

    def test_each_has_a_summary_of_its_own(self, document: dict[str, Any]) -> None:
        summaries = [operation["summary"] for item in document["paths"].values() for operation in item.values()]
        assert len(set(summaries)) == len(summaries)

    def test_a_path_beside_another_is_deprecated(self, document: dict[str, Any]) -> None:
        deprecated = [path for path, item in document["paths"].items() if item.get("get", {}).get("deprecated")]
        assert sorted(deprecated) == [
            "/api/admin/billing/usage/tenants",
            "/api/admin/usage/daily",
            "/api/admin/usage/summary",
            "/api/root-admin/usage/tenants",
        ]
        for path in deprecated:
            assert document["paths"][path]["get"]["description"].startswith("As /api/")
