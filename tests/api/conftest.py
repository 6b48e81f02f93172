"""Fixtures of the API's tests: a database with hand-seeded marts, applications on it, callers with tokens.

The API only reads, so one seeded database serves the whole session; a test that changes something takes
`own_database`.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
from fastapi.testclient import TestClient

from api.auth.tokens import mint
from api.main import create_app
from api.settings import Settings
from tests.conftest import COPIED, built_once, fresh_database
from tests.quick_apps import share_signatures
from warehouse.urls import with_database

share_signatures()

HERE = Path(__file__).parent
SECRET = "a secret of the tests that is long enough for HS256"
AS_OF = "2026-11-20T12:00:00Z"

Headers = dict[str, str]
AppStarter = Callable[..., AbstractContextManager[TestClient]]


def make_settings(database_url: str, **variables: str) -> Settings:
    """Return settings from variables alone; the process's environment is cleared by the root conftest."""
    defaults = {"METERING_DATABASE_URL": database_url, "METERING_JWT_SECRET": SECRET, "METERING_AS_OF": AS_OF}
    # An empty variable counts as unset, as pydantic-settings reads the environment.
    return Settings.model_validate({name: value for name, value in {**defaults, **variables}.items() if value})


def execute(url: str, *statements: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        for statement in statements:
            connection.execute(statement.encode())


def seed(url: str) -> None:
    """Fill a migrated database with the marts and the small world."""
    with psycopg.connect(url) as connection:
        connection.execute("set local role metering_transformer")
        connection.execute((HERE / "marts.sql").read_bytes())
        connection.execute((HERE / "seed.sql").read_bytes())
        connection.execute((HERE / "explain.sql").read_bytes())
        connection.execute("reset role")
        connection.execute((HERE / "ops.sql").read_bytes())


@contextmanager
def clone(server: str, template: str) -> Iterator[str]:
    name = f"api_{uuid.uuid4().hex[:16]}"
    execute(server, f"create database {name} template {template} {COPIED}")
    try:
        yield with_database(server, name)
    finally:
        execute(server, f"drop database {name} with (force)")


@pytest.fixture(scope="session")
def seeded_template(server: str, template: str) -> str:
    """Name of the seeded database, for copies."""
    return built_once(server, "seeded", template, seed)


@pytest.fixture(scope="session")
def seeded(server: str, seeded_template: str) -> Iterator[str]:
    """URL of the seeded database, as its owner. Read it only."""
    with clone(server, seeded_template) as url:
        yield url


@pytest.fixture
def own_database(server: str, seeded_template: str) -> Iterator[str]:
    """URL of a seeded database of this test's own."""
    yield from fresh_database(server, seeded_template, "own")


@contextmanager
def _started(database_url: str, **variables: str) -> Iterator[TestClient]:
    app = create_app(make_settings(database_url, **variables))
    with TestClient(app, raise_server_exceptions=False) as client:
        yield client


@pytest.fixture(scope="session")
def start_app() -> AppStarter:
    """Start an application: `with start_app(url, METERING_AS_OF=…) as client`."""
    return _started


@pytest.fixture(scope="session")
def session_client(seeded: str) -> Iterator[TestClient]:
    with _started(seeded) as client:
        yield client


@pytest.fixture
def client(session_client: TestClient) -> TestClient:
    """A client of the application on the seeded database, as of 2026-11-20 12:00 UTC."""
    session_client.headers.pop("authorization", None)
    return session_client


def bearer(role: str, tenant_id: str | None = None, **options: Any) -> Headers:
    token = mint(role, tenant_id, timedelta(hours=1), options.pop("secret", SECRET), **options)
    return {"Authorization": f"Bearer {token}"}


@pytest.fixture
def acme() -> Headers:
    return bearer("tenant_admin", "acme")


@pytest.fixture
def bolt() -> Headers:
    return bearer("tenant_admin", "bolt")


@pytest.fixture
def root() -> Headers:
    return bearer("root_admin")
