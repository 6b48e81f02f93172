"""A collector on a fresh database, and a client with a token for it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from fastapi.testclient import TestClient

from api.auth.tokens import mint_tracker
from collector.main import create_app
from tests.quick_apps import share_signatures
from tests.sdk.conftest import Base

share_signatures()

SECRET = "a secret of the tests, long enough"
EVENT = {
    "specversion": "1.0",
    "id": "export-1",
    "source": "/shop",
    "type": "internal.export",
    "subject": "acme",
    "time": "2026-11-20T09:00:00Z",
    "data": {"units": 3, "feature": "reports"},
}


def event(**changes: Any) -> dict[str, Any]:
    return {**EVENT, **changes}


def token(*tenants: str, services: tuple[str, ...] = ()) -> dict[str, str]:
    return {"authorization": f"Bearer {mint_tracker(tenants, services, timedelta(hours=1), SECRET)}"}


@pytest.fixture
def base(database: str, server: str) -> Base:
    return Base(database, server)


@pytest.fixture
def client(request: pytest.FixtureRequest, base: Base, monkeypatch: pytest.MonkeyPatch) -> Iterator[TestClient]:
    """A collector over a fresh database; as a parameter, how many milliseconds its guard waits."""
    monkeypatch.setenv("METERING_DATABASE_URL", base.url)
    monkeypatch.setenv("METERING_JWT_SECRET", SECRET)
    monkeypatch.setenv("METERING_PII_KEY", "a key for tests")
    monkeypatch.setenv("METERING_AS_OF", "2026-11-20T10:00:00Z")
    monkeypatch.setenv("METERING_GUARD_TIMEOUT_MS", getattr(request, "param", "20000"))
    with TestClient(create_app(), raise_server_exceptions=False, headers=token()) as client:
        yield client
