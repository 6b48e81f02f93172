"""HEAD: what a GET would answer, without its body."""

from __future__ import annotations

import pytest
from fastapi.testclient import TestClient

from tests.api.conftest import Headers
from tests.api.test_isolation import ROOT_ROUTES, TENANT_ROUTES, url

PAGE = "/settings/billing-usage"
OPEN = [
    "/healthz",
    "/readyz",
    "/metrics",
    "/openapi.json",
    "/docs",
    "/sign-in",
    "/static/metering.css",
    "/no/such/path",
]
# Of the moment, or of what else was asked meanwhile.
VARYING = {"date", "content-length"}


def same_headers(client: TestClient, path: str, headers: Headers | None = None) -> int:
    """Ask for both and compare; return the status."""
    got = client.get(path, headers=headers)
    asked = client.head(path, headers=headers)
    assert (asked.status_code, asked.content) == (got.status_code, b"")
    left_out = VARYING if path == "/metrics" else {"date"}
    assert {name: value for name, value in asked.headers.items() if name not in left_out} == {
        name: value for name, value in got.headers.items() if name not in left_out
    }
    return got.status_code


@pytest.mark.parametrize("path", TENANT_ROUTES)
def test_a_tenants_route_answers_it(client: TestClient, acme: Headers, path: str) -> None:
    assert same_headers(client, url(path), acme) == 200
    assert same_headers(client, url(path)) == 401


@pytest.mark.parametrize("path", ROOT_ROUTES)
def test_the_owners_route_answers_it(client: TestClient, acme: Headers, root: Headers, path: str) -> None:
    assert same_headers(client, url(path), root) == 200
    assert same_headers(client, url(path), acme) == 403


@pytest.mark.parametrize("path", OPEN)
def test_what_is_open_answers_it(client: TestClient, path: str) -> None:
    assert same_headers(client, path) == (404 if path == "/no/such/path" else 200)


def test_what_the_client_has_is_304(client: TestClient, acme: Headers) -> None:
    path = "/api/billing/usage/status"
    tag = client.head(path, headers=acme).headers["etag"]
    assert same_headers(client, path, {**acme, "If-None-Match": tag}) == 304


def test_a_page_that_may_only_be_read_says_so(client: TestClient) -> None:
    answer = client.delete(PAGE)
    assert (answer.status_code, answer.headers["allow"]) == (405, "GET, HEAD")


def test_files_may_only_be_read(client: TestClient) -> None:
    answer = client.post("/static/metering.css")
    assert (answer.status_code, answer.headers["allow"]) == (405, "GET, HEAD")


def test_a_route_that_is_only_written_to_allows_no_more(client: TestClient) -> None:
    for method in ("GET", "HEAD"):
        answer = client.request(method, "/sign-out")
        assert (answer.status_code, answer.headers["allow"]) == (405, "POST")
