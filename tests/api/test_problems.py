"""Every error is problem+json, also those that the framework or the database raises."""

from __future__ import annotations

from typing import Any

import pytest
from fastapi.testclient import TestClient

import api.kit.database as database_module
from api.usage import service
from tests.api.conftest import AppStarter, Headers, execute

STATUS = "/api/billing/usage/status"


def problem(answer: Any, status: int) -> dict[str, Any]:
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    body: dict[str, Any] = answer.json()
    assert body["status"] == status
    assert body["title"]
    assert body["type"]
    return body


def test_an_unknown_path_is_404(client: TestClient) -> None:
    body = problem(client.get("/no/such/path"), 404)
    assert body == {"type": "about:blank", "title": "Not Found", "status": 404, "instance": "/no/such/path"}


@pytest.mark.parametrize("method", ["post", "put", "patch", "delete"])
def test_writing_is_405(client: TestClient, acme: Headers, method: str) -> None:
    answer = getattr(client, method)(STATUS, headers=acme)
    problem(answer, 405)
    assert answer.headers["allow"] == "GET, HEAD"


def test_bad_input_lists_fields_and_messages(client: TestClient, root: Headers) -> None:
    answer = client.get("/api/admin/billing/usage/system-summary", params={"limit": "x", "order": "up"}, headers=root)
    body = problem(answer, 422)
    assert {error["field"] for error in body["errors"]} == {"limit", "order"}
    assert all(error["message"] for error in body["errors"])
    assert body["instance"] == "/api/admin/billing/usage/system-summary"


def test_an_unexpected_error_shows_nothing(client: TestClient, acme: Headers, monkeypatch: pytest.MonkeyPatch) -> None:
    async def broken(*_: object) -> None:
        raise RuntimeError("secret detail")

    monkeypatch.setattr(service, "status", broken)
    answer = client.get(STATUS, headers=acme)
    problem(answer, 500)
    assert "secret" not in answer.text
    assert "Traceback" not in answer.text


class TestDatabase:
    def test_down_is_503_and_the_application_starts_even_so(self, start_app: AppStarter, acme: Headers) -> None:
        with start_app("postgresql://someone:hidden@127.0.0.1:9/nowhere") as client:
            answer = client.get(STATUS, headers=acme)
            body = problem(answer, 503)
            assert body["title"] == "The database is unavailable"
            assert "hidden" not in answer.text
            assert answer.headers["retry-after"]
            assert client.get("/healthz").status_code == 200
            ready = problem(client.get("/readyz"), 503)
            assert [(check["name"], check["ok"]) for check in ready["checks"]] == [("database", False)]
            assert client.get(STATUS).status_code == 401

    def test_lost_connections_are_replaced(self, own_database: str, start_app: AppStarter, acme: Headers) -> None:
        with start_app(own_database) as client:
            assert client.get(STATUS, headers=acme).status_code == 200
            for path in (STATUS, "/api/billing/usage/export", "/readyz"):
                execute(
                    own_database,
                    "select pg_terminate_backend(pid) from pg_stat_activity"
                    " where datname = current_database() and pid <> pg_backend_pid()",
                )
                assert client.get(path, headers=acme).status_code == 200

    def test_too_many_exports_at_once_are_503_and_leave_the_rest_alone(
        self, own_database: str, start_app: AppStarter, acme: Headers, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(database_module, "MAX_STREAMS", 0)
        monkeypatch.setattr(database_module, "CONNECT_SECONDS", 1)
        with start_app(own_database) as client:
            problem(client.get("/api/billing/usage/export", headers=acme), 503)
            assert client.get(STATUS, headers=acme).status_code == 200

    def test_a_database_that_comes_back_is_used(
        self, own_database: str, server: str, start_app: AppStarter, acme: Headers
    ) -> None:
        name = own_database.rsplit("/", 1)[1]
        away = f"{name}_away"
        kick = (
            "select pg_terminate_backend(pid) from pg_stat_activity"
            f" where datname = '{name}' and pid <> pg_backend_pid()"
        )
        with start_app(own_database) as client:
            assert client.get(STATUS, headers=acme).status_code == 200
            execute(server, kick, f"alter database {name} rename to {away}")
            problem(client.get(STATUS, headers=acme), 503)
            execute(server, f"alter database {away} rename to {name}")
            assert client.get(STATUS, headers=acme).status_code == 200

    def test_a_right_that_is_missing_is_not_called_a_missing_build(
        self, own_database: str, start_app: AppStarter, acme: Headers
    ) -> None:
        execute(own_database, "revoke select on all tables in schema marts from metering_api")
        with start_app(own_database) as client:
            body = problem(client.get(STATUS, headers=acme), 503)
        assert body["title"] == "The API may not read the figures"
        assert "metering migrate" in body["detail"]

    def test_without_marts_it_is_503_with_what_to_do(
        self, database: str, start_app: AppStarter, acme: Headers, root: Headers
    ) -> None:
        with start_app(database) as client:
            body = problem(client.get(STATUS, headers=acme), 503)
            assert "metering rebuild" in body["detail"]
            ready = problem(client.get("/readyz"), 503)
            assert "missing: channel_prices" in ready["checks"][-1]["detail"]
            fresh = client.get("/api/admin/usage/freshness", headers=root)
            assert (fresh.status_code, fresh.json()) == (
                200,
                {
                    "dataAsOf": None,
                    "items": [],
                    "proof": {"lastProvenAt": None, "provenDays": 0, "differentDays": []},
                    "isReplica": False,
                    "replicaBehindSeconds": None,
                },
            )

    def test_before_migrate_it_is_503(self, empty_database: str, start_app: AppStarter, acme: Headers) -> None:
        with start_app(empty_database) as client:
            problem(client.get(STATUS, headers=acme), 503)
            problem(client.get("/readyz"), 503)
