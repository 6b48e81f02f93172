"""`/healthz`, `/readyz`, `/metrics`: open, and silent about tenants."""

from __future__ import annotations

from fastapi.testclient import TestClient

from tests.api.conftest import AppStarter, Headers


def test_healthz_is_open(client: TestClient) -> None:
    assert client.get("/healthz").json() == {"status": "ok"}


def test_readyz_checks_database_role_and_marts(client: TestClient) -> None:
    answer = client.get("/readyz")
    assert answer.status_code == 200
    assert [(check["name"], check["ok"]) for check in answer.json()["checks"]] == [
        ("database", True),
        ("role", True),
        ("marts", True),
    ]


def test_a_role_above_row_level_security_is_not_ready(seeded: str, start_app: AppStarter) -> None:
    with start_app(seeded, METERING_API_DATABASE_URL=seeded) as client:
        answer = client.get("/readyz")
    assert answer.status_code == 503
    assert "bypasses row-level security" in answer.json()["detail"]


def test_metrics_count_by_route_never_by_tenant(client: TestClient, acme: Headers, root: Headers) -> None:
    client.get("/api/billing/usage/status", headers=acme)
    client.get("/api/admin/usage/acme", headers=root)
    client.get("/no/such/acme", headers=root)
    text = client.get("/metrics").text
    assert 'handler="/api/admin/usage/{tenantId}",method="GET",status="200"' in text
    assert 'handler="/api/billing/usage/status"' in text
    assert "acme" not in text


def test_metrics_name_what_took_a_request(seeded: str, start_app: AppStarter) -> None:
    with start_app(seeded) as client:
        client.get("/openapi.json")
        client.get("/static/metering.css")
        client.post("/api/billing/usage/status")
        client.head("/api/billing/usage/summary")
        client.get("/no/such")
        client.get("/healthz")
        text = client.get("/metrics").text
    assert {line.rpartition(" ")[0] for line in text.splitlines() if "requests_total{" in line} == {
        'http_requests_total{handler="/openapi.json",method="GET",status="200"}',
        'http_requests_total{handler="/static",method="GET",status="200"}',
        'http_requests_total{handler="/api/billing/usage/status",method="POST",status="405"}',
        'http_requests_total{handler="/api/billing/usage/summary",method="GET",status="401"}',
        'http_requests_total{handler="none",method="GET",status="404"}',
    }
