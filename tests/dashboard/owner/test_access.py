"""Who gets to the owner's pages: root admins, and nobody else by any address."""

from __future__ import annotations

import pytest
from fastapi.routing import APIRoute
from fastapi.testclient import TestClient

from api.dashboard.owner import router
from tests.api.conftest import bearer

PAGES = (
    "/admin/system-usage",
    "/admin/system-usage/export",
    "/admin/usage",
    "/admin/usage/acme",
    "/admin/usage/bolt",
    "/admin/usage/acme/explain",
    "/admin/costs/export",
    "/admin/alerts",
    "/admin/alerts/export",
    "/admin/reconciliation",
    "/admin/reconciliation/export",
    "/admin/data-freshness",
    "/admin/data-freshness/export",
    "/admin/unattributed",
    "/admin/unattributed/export",
)
SECRETS = ("Bolt Realty", "Cobalt", "Elm", "twilio_messages", "$5.35")


def test_this_list_has_every_page() -> None:
    paths = {route.path for page in router.PAGES for route in page.router.routes if isinstance(route, APIRoute)}
    assert {path.replace("acme", "{tenantId}").replace("bolt", "{tenantId}") for path in PAGES} == paths


@pytest.mark.parametrize("path", PAGES)
class TestEveryPage:
    def test_who_is_not_signed_in_is_led_there_and_back(self, anonymous: TestClient, path: str) -> None:
        answer = anonymous.get(path, params={"search": "a b"})
        assert answer.status_code == 303
        assert answer.headers["location"].startswith("/sign-in?next=%2Fadmin%2F")

    @pytest.mark.parametrize("query", ["", "?tenantId=acme", "?tenantId=bolt&period=nonsense&limit=0"])
    def test_a_tenant_gets_403_and_nothing_of_it(self, as_acme: TestClient, path: str, query: str) -> None:
        answer = as_acme.get(path + query)
        assert answer.status_code == 403
        assert not [secret for secret in SECRETS if secret in answer.text]

    def test_a_tenant_s_bearer_token_is_no_better(self, anonymous: TestClient, path: str) -> None:
        assert anonymous.get(path, headers=bearer("tenant_admin", "acme")).status_code == 403

    def test_the_owner_gets_it_with_strict_headers(self, as_root: TestClient, path: str) -> None:
        answer = as_root.get(path)
        assert answer.status_code == 200
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["content-security-policy"].startswith("default-src 'none'")

    def test_it_is_not_for_writing(self, as_root: TestClient, path: str) -> None:
        assert as_root.post(path, data={}).status_code in (403, 405)

    def test_nothing_in_it_needs_a_looser_policy(self, as_root: TestClient, path: str) -> None:
        text = as_root.get(path).text
        assert " style=" not in text
        assert "<style" not in text
        assert " onclick=" not in text
        assert 'src="http' not in text
        assert "<script>" not in text


@pytest.mark.parametrize("path", ["/admin/usage/nobody", "/admin/usage/nobody/explain", "/admin/usage/%27"])
def test_an_unknown_tenant_is_a_404_page(as_root: TestClient, path: str) -> None:
    answer = as_root.get(path)
    assert (answer.status_code, answer.headers["content-type"]) == (404, "text/html; charset=utf-8")


@pytest.mark.parametrize(
    "path",
    [
        "/admin/system-usage?sort=x",
        "/admin/system-usage?period=2026-12",
        "/admin/system-usage?cursor=x",
        "/admin/system-usage?back=%3Cscript%3E",
        "/admin/usage?month=2026-12",
        "/admin/usage/acme?startDate=2026-11-21",
        "/admin/usage/acme/explain?date=tomorrow",
        "/admin/alerts?state=odd",
        "/admin/reconciliation?state=odd",
        "/admin/reconciliation?sort=odd",
        "/admin/system-usage?by=odd",
        "/admin/unattributed?period=2026-12",
    ],
)
def test_bad_input_is_a_422_page(as_root: TestClient, path: str) -> None:
    answer = as_root.get(path)
    assert (answer.status_code, answer.headers["content-type"]) == (422, "text/html; charset=utf-8")
