"""A database that is locked, or takes bytes and does not answer, costs a request some seconds and nobody else anything."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest

import api.kit.database as database_module
from api.operations import acknowledgements
from tests.api.conftest import AppStarter, Headers
from tests.api.test_problems import problem
from tests.silence import Proxy
from warehouse.urls import as_role

STATUS = "/api/billing/usage/status"
SUMMARY = "/api/billing/usage/summary"
EXPORT = "/api/billing/usage/export"
HANGS = 12.0  # what would hang takes far longer; what is bounded far less


@pytest.fixture
def proxy(seeded: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Proxy]:
    monkeypatch.setattr(database_module, "CONNECT_SECONDS", 2)
    monkeypatch.setattr(database_module, "QUERY_SECONDS", 2.0)
    made = Proxy(seeded)
    yield made
    made.close()


@pytest.mark.parametrize("explicit", [True, False], ids=["its own URL", "the owner's URL"])
def test_every_session_has_its_limits_whatever_the_url(seeded: str, start_app: AppStarter, explicit: bool) -> None:
    own = {"METERING_API_DATABASE_URL": as_role(seeded, "metering_api")} if explicit else {}
    with start_app(seeded, **own) as client:
        database = client.app.state.services.database  # type: ignore[attr-defined]

        async def limits() -> object:
            async def ask(connection: database_module.Connection) -> object:
                found = await connection.execute(
                    "select current_setting('statement_timeout') as statement, current_setting('lock_timeout') as lock"
                )
                return await found.fetchone()

            return await database._with_connection(ask)

        assert client.portal is not None
        assert client.portal.call(limits) == {"statement": "15s", "lock": "1s"}


def test_a_locked_mart_stops_its_own_route_only(
    own_database: str, start_app: AppStarter, acme: Headers, root: Headers
) -> None:
    url = as_role(own_database, "metering_api")
    with start_app(own_database, METERING_API_DATABASE_URL=url) as client, psycopg.connect(own_database) as locker:
        assert client.get(STATUS, headers=acme).status_code == 200
        locker.execute("lock table marts.tenant_usage_status in access exclusive mode")
        began = time.monotonic()
        with ThreadPoolExecutor(12) as pool:
            locked = [pool.submit(client.get, STATUS, headers=acme) for _ in range(12)]
            time.sleep(0.3)
            other = client.get("/api/admin/usage/freshness", headers=root)
        assert other.status_code == 200
        for answer in locked:
            body = problem(answer.result(), 503)
            assert "A table is locked by another session" in body["detail"]
        assert time.monotonic() - began < HANGS
        locker.rollback()
        assert client.get(STATUS, headers=acme).status_code == 200


@pytest.mark.parametrize("path", [STATUS, EXPORT, "/readyz"])
def test_a_database_that_falls_silent_is_503_in_time_and_used_when_it_speaks_again(
    proxy: Proxy, start_app: AppStarter, acme: Headers, path: str
) -> None:
    url = f"{proxy.url}&options=-crole%3Dmetering_api"
    with start_app(proxy.url, METERING_API_DATABASE_URL=url) as client:
        assert client.get(path, headers=acme).status_code == 200
        proxy.silent.set()
        for _ in ("on a warm connection", "on a new one"):
            began = time.monotonic()
            assert "answer" in problem(client.get(path, headers=acme), 503)["detail"]
            assert time.monotonic() - began < HANGS
        proxy.silent.clear()
        end = time.monotonic() + HANGS
        while client.get(path, headers=acme).status_code != 200:
            assert time.monotonic() < end


@pytest.mark.parametrize("falls_silent", ["before it answers", "after it was reached"])
def test_the_operators_line_is_bounded_too(proxy: Proxy, monkeypatch: pytest.MonkeyPatch, falls_silent: str) -> None:
    monkeypatch.setattr(acknowledgements, "CONNECT_SECONDS", 2)

    async def fall_silent(_: object) -> None:
        proxy.silent.set()

    if falls_silent == "before it answers":
        proxy.silent.set()
    else:
        monkeypatch.setattr(acknowledgements, "limit_statements", fall_silent)
    began = time.monotonic()
    with pytest.raises(psycopg.OperationalError):
        asyncio.run(acknowledgements.OperatorDatabase(proxy.url).acknowledge(1, "owner"))
    assert time.monotonic() - began < HANGS
