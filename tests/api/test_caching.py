"""ETag, 304 and dataAsOf on every route."""

from __future__ import annotations

import pytest
from fastapi.testclient import TestClient

from tests.api.conftest import AppStarter, Headers, bearer, execute
from tests.api.test_isolation import ROOT_ROUTES, TENANT_ROUTES, url

LIVE = (
    "/api/billing/usage/channels/{channel}/access",
    "/api/billing/usage/forecast",
    "/api/admin/usage/alerts",
    "/api/admin/usage/alerts/export",
    "/api/admin/usage/freshness",
    "/api/admin/usage/freshness/export",
    "/api/admin/usage/{tenantId}",
)


def caller(path: str) -> Headers:
    return bearer("tenant_admin", "acme") if path in TENANT_ROUTES else bearer("root_admin")


@pytest.mark.parametrize("path", TENANT_ROUTES + ROOT_ROUTES)
class TestEveryRoute:
    def test_the_same_answer_is_304(self, client: TestClient, path: str) -> None:
        first = client.get(url(path), headers=caller(path))
        assert first.headers["cache-control"] == "private, no-cache"
        etag = first.headers["etag"]
        for known in (etag, etag.removeprefix("W/"), f'"x", {etag}'):
            again = client.get(url(path), headers={**caller(path), "If-None-Match": known})
            assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", etag)
            assert again.headers["cache-control"] == "private, no-cache"

    def test_another_tag_is_answered(self, client: TestClient, path: str) -> None:
        answer = client.get(url(path), headers={**caller(path), "If-None-Match": '"x"'})
        assert answer.status_code == 200

    def test_a_tag_lets_nobody_in(self, client: TestClient, path: str) -> None:
        etag = client.get(url(path), headers=caller(path)).headers["etag"]
        assert client.get(url(path), headers={"If-None-Match": etag}).status_code == 401

    def test_every_body_says_how_fresh_it_is(self, client: TestClient, path: str) -> None:
        answer = client.get(url(path), headers=caller(path))
        if path.endswith("/export"):
            assert answer.headers["data-as-of"] == "2026-11-20T11:45:00Z"
        else:
            assert answer.json()["dataAsOf"] == "2026-11-20T11:45:00Z"

    def test_before_the_first_build_it_is_null(self, own_database: str, start_app: AppStarter, path: str) -> None:
        execute(own_database, "delete from ops.builds")
        with start_app(own_database) as client:
            answer = client.get(url(path), headers=caller(path))
        assert answer.status_code == 200
        if path.endswith("/export"):
            assert "data-as-of" not in answer.headers
        else:
            assert answer.json()["dataAsOf"] is None
        assert ("etag" in answer.headers) == (path in LIVE)


@pytest.mark.parametrize("path", [path for path in TENANT_ROUTES + ROOT_ROUTES if path not in LIVE])
def test_a_new_build_or_day_is_a_new_answer(own_database: str, start_app: AppStarter, path: str) -> None:
    with start_app(own_database) as client:
        old = client.get(url(path), headers=caller(path)).headers["etag"]
        execute(
            own_database,
            "insert into ops.builds select 'build-2', window_start, window_end, as_of, started_at,"
            " finished_at + interval '1 minute', status, data_as_of, sources from ops.builds",
        )
        answer = client.get(url(path), headers={**caller(path), "If-None-Match": old})
        assert answer.status_code == 200
        assert answer.headers["etag"] != old
    with start_app(own_database, METERING_AS_OF="2026-11-21") as client:
        assert client.get(url(path), headers=caller(path)).headers["etag"] != answer.headers["etag"]


def test_a_failed_or_running_build_is_no_build(own_database: str, start_app: AppStarter, acme: Headers) -> None:
    with start_app(own_database) as client:
        old = client.get(url(TENANT_ROUTES[0]), headers=acme).headers["etag"]
        execute(
            own_database,
            "insert into ops.builds select status_of, window_start, window_end, as_of, started_at,"
            " finished_at + interval '1 minute', status_of, data_as_of, sources"
            " from ops.builds, unnest(array['failed', 'running']) as status_of",
        )
        assert client.get(url(TENANT_ROUTES[0]), headers=acme).headers["etag"] == old


def test_tags_differ_by_tenant_route_and_parameters(client: TestClient, acme: Headers, bolt: Headers) -> None:
    requests = [
        (acme, "/api/billing/usage/summary"),
        (bolt, "/api/billing/usage/summary"),
        (acme, "/api/billing/usage/status"),
        (acme, "/api/billing/usage/status?period=2026-10"),
        (acme, "/api/billing/usage/daily?range=7d"),
        (acme, "/api/billing/usage/daily?range=8d"),
    ]
    assert len({client.get(path, headers=who).headers["etag"] for who, path in requests}) == len(requests)


def test_a_parameter_that_is_said_twice_has_a_tag_for_each_order(client: TestClient, acme: Headers) -> None:
    path = "/api/billing/usage/status"
    one = client.get(f"{path}?period=2026-10&period=2026-11", headers=acme)
    other = client.get(f"{path}?period=2026-11&period=2026-10", headers=acme)
    assert one.content != other.content
    assert one.headers["etag"] != other.headers["etag"]


def test_a_star_matches_what_exists_only(client: TestClient, acme: Headers, root: Headers) -> None:
    any_tag = {"If-None-Match": "*"}
    assert client.get("/api/billing/usage/status", headers={**acme, **any_tag}).status_code == 304
    assert client.get("/api/admin/usage/nobody", headers={**root, **any_tag}).status_code == 404


def test_access_changes_with_its_answer_even_between_builds(
    own_database: str, start_app: AppStarter, acme: Headers
) -> None:
    path = "/api/billing/usage/channels/sms/access"
    with start_app(own_database) as client:
        etag = client.get(path, headers=acme).headers["etag"]
        execute(own_database, "update marts.tenant_usage_status set used = used + 1 where tenant_id = 'acme'")
        assert client.get(path, headers={**acme, "If-None-Match": etag}).status_code == 200
