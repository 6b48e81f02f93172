"""What every page has, whatever it shows: strict headers, errors as pages, files from here, few bytes."""

from __future__ import annotations

import re

import pytest
from fastapi.testclient import TestClient

from api.dashboard.install import SECURITY_HEADERS
from api.main import create_app
from tests.api.conftest import AppStarter, Headers, bearer, execute, make_settings
from tests.dashboard.conftest import Page, signed_in_app

PAGE = "/settings/billing-usage"


@pytest.mark.parametrize("path", [PAGE, "/sign-in", "/settings/nothing", "/admin/usage/x/y/z", "/static/metering.css"])
def test_headers_are_strict(as_acme: TestClient, path: str) -> None:
    headers = as_acme.get(path).headers
    for name, value in SECURITY_HEADERS.items():
        assert headers[name] == value
    policy = headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy


@pytest.mark.parametrize(
    "path", ["/docs", "/openapi.json", "/docs/assets/swagger-ui.css", "/api/billing/usage/status", "/api/x", "/metrics"]
)
def test_what_is_for_machines_is_not_guessed_at_and_not_framed(client: TestClient, path: str) -> None:
    headers = client.get(path).headers
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["x-frame-options"] == "DENY"
    assert "frame-ancestors 'none'" in headers["content-security-policy"]


@pytest.mark.parametrize(
    "path", [f"{PAGE}/", "/docs/", "/admin/usage/", "/api/billing/usage/status/", "//evil.example/x/"]
)
def test_nobody_is_led_to_the_host_that_a_request_names(client: TestClient, path: str) -> None:
    answer = client.get(f"http://testserver{path}", headers={"Host": "evil.example"}, follow_redirects=False)
    assert "evil.example" not in answer.headers.get("location", "")


def test_a_persons_page_is_kept_nowhere(as_acme: TestClient) -> None:
    assert as_acme.get(PAGE).headers["cache-control"] == "no-store"


@pytest.mark.parametrize("path", [PAGE, f"{PAGE}?days=90&by=usage", "/sign-in", "/settings/nothing"])
def test_nothing_is_inline_or_from_elsewhere(as_acme: TestClient, path: str) -> None:
    html = as_acme.get(path).text
    assert not re.search(r"\sstyle=|\son\w+=|<style|javascript:", html)
    assert all("src=" in tag for tag in re.findall(r"<script[^>]*>", html))
    addresses = re.findall(r'(?:src|href|action)="([^"#]+)', html)
    assert addresses
    assert all(address.startswith("/") and not address.startswith("//") for address in addresses), addresses


def test_static_files_are_there_and_kept_for_ever(as_acme: TestClient) -> None:
    files = [link for link in re.findall(r'(?:src|href)="([^"]+)"', as_acme.get(PAGE).text) if "/static/" in link]
    names = [link.rpartition("/")[2].partition("?")[0] for link in files]
    assert sorted(names) == [
        "chart.css",
        "chart.js",
        "icon.svg",
        "metering.css",
        "metering.js",
        "tables.js",
        "tenant.css",
    ]
    for link in files:
        answer = as_acme.get(link)
        assert answer.status_code == 200, link
        if "?v=" in link:
            assert "immutable" in answer.headers["cache-control"]
    assert "immutable" not in as_acme.get("/static/metering.css").headers.get("cache-control", "")


@pytest.mark.parametrize("path", ["/static/../api/main.py", "/static/%2e%2e/install.py", "/static/vendor/../../x"])
def test_only_what_is_static_is_served(as_acme: TestClient, path: str) -> None:
    assert as_acme.get(path).status_code == 404


class TestErrors:
    def test_a_page_that_is_not_there(self, as_acme: TestClient) -> None:
        answer = as_acme.get("/settings/nothing")
        assert answer.status_code == 404
        assert answer.headers["content-type"] == "text/html; charset=utf-8"
        assert "Not Found" in answer.text
        assert PAGE in Page(answer.text).links

    def test_a_stranger_sees_no_navigation(self, anonymous: TestClient) -> None:
        page = Page(anonymous.get("/admin/nothing").text)
        assert "Sign in" in page.text
        assert "System usage" not in page.text

    @pytest.mark.parametrize("path", ["/api/nothing", "/nothing", "/api/billing/usage/summary"])
    def test_machines_still_get_problems(self, as_acme: TestClient, path: str) -> None:
        assert as_acme.get(path).headers["content-type"] == "application/problem+json"

    def test_no_database(self, start_app: AppStarter, acme: Headers) -> None:
        with start_app("postgresql://nobody@127.0.0.1:1/none") as client:
            answer = client.get(PAGE, headers=acme)
        assert answer.status_code == 503
        assert "The database is unavailable" in answer.text
        assert answer.headers["retry-after"] == "5"
        assert "127.0.0.1" not in answer.text

    def test_figures_that_are_not_built(self, own_database: str, start_app: AppStarter) -> None:
        execute(own_database, "drop table marts.usage_summary cascade")
        with signed_in_app(start_app, own_database, "tenant_admin", "acme") as client:
            answer = client.get(PAGE)
            assert answer.status_code == 503
            assert "metering rebuild" in answer.text

    def test_what_we_did_not_expect_says_nothing(
        self, seeded: str, start_app: AppStarter, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async def fail(*_: object) -> None:
            raise RuntimeError("a secret of the inside")

        monkeypatch.setattr("api.dashboard.tenant.read_figures", fail)
        with signed_in_app(start_app, seeded, "tenant_admin", "acme") as client:
            answer = client.get(PAGE)
        assert answer.status_code == 500
        assert "Internal Server Error" in answer.text
        assert "secret of the inside" not in answer.text
        assert answer.headers["content-security-policy"] == SECURITY_HEADERS["Content-Security-Policy"]
        assert answer.headers["cache-control"] == "no-store"


def test_pages_are_no_part_of_the_api_s_document() -> None:
    document = create_app(make_settings("postgresql://x@127.0.0.1:1/x")).openapi()
    assert not [path for path in document["paths"] if not path.startswith("/api/")] or all(
        path.startswith(("/api/", "/healthz", "/readyz", "/metrics")) for path in document["paths"]
    )


def test_below_a_root_path_every_address_has_it(seeded: str, acme: Headers) -> None:
    with TestClient(create_app(make_settings(seeded)), root_path="/usage", follow_redirects=False) as client:
        html = client.get(f"/usage{PAGE}", headers=acme).text
        addresses = re.findall(r'(?:src|href|action)="(/[^"]+)"', html)
        assert addresses
        assert all(address.startswith("/usage/") for address in addresses), addresses
        assert client.get("/usage/", headers=acme).headers["location"] == f"/usage{PAGE}"
        assert client.get("/usage/billing/usage").headers["location"] == f"/usage{PAGE}"
        assert client.get(f"/usage{PAGE}").headers["location"].startswith("/usage/sign-in?next=%2Fsettings")


@pytest.mark.parametrize("token", ["x", ""])
def test_an_owner_is_asked_whose_page(as_root: TestClient, token: str) -> None:
    answer = as_root.get(f"{PAGE}?tenantId=")
    assert answer.status_code == 422
    assert "System usage" in Page(answer.text).text


def test_a_tenant_is_shown_no_owners_navigation(as_acme: TestClient) -> None:
    page = Page(as_acme.get(PAGE).text)
    assert not [link for link in page.links if link.startswith("/admin")]


def test_bearer(anonymous: TestClient) -> None:
    page = Page(anonymous.get(PAGE, headers=bearer("tenant_admin", "acme")).text)
    # Nothing to sign out of: the token comes with every request.
    assert "Sign out" not in page.text
