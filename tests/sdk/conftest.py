"""What tracking tests share: a key, a tracker on a fresh database, and what is in its tables."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest

from usage_metering import UsageTracker
from warehouse.urls import database_name

OWN = "internal:acme:"
"""What stands before a key that acme's internal use is told under."""

MARTS = Path(__file__).parents[1] / "api" / "marts.sql"


@dataclass
class Base:
    """A database and what tests want to know of it."""

    url: str
    server: str

    def rows(self, statement: str, *parameters: object) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.url, autocommit=True) as connection:
            found = connection.execute(statement.encode(), parameters or None)
            return found.fetchall() if found.description else []

    def keys(self) -> list[str]:
        return [key for (key,) in self.rows("select event_key from raw.usage_events order by 1")]

    @contextmanager
    def away(self) -> Iterator[None]:
        """No connection works, as while the server is down."""
        name = database_name(self.url)
        with psycopg.connect(self.server, autocommit=True) as connection:
            connection.execute(f"alter database {name} allow_connections false".encode())
            connection.execute("select pg_terminate_backend(pid) from pg_stat_activity where datname = %s", (name,))
            try:
                yield
            finally:
                connection.execute(f"alter database {name} allow_connections true".encode())

    def make_marts(self, *, cap: int, used: int = 0, month: str = "2026-11", channel: str = "sms") -> None:
        """As a build leaves them: tenant acme on hard stop with a cap of a channel's units."""
        with psycopg.connect(self.url) as connection:
            connection.execute("set local role metering_transformer")
            connection.execute(MARTS.read_bytes())
            connection.execute(
                "create table intermediate.int_settled_records (usage_date date, record_key text, record_keys text[])"
            )
            connection.execute("insert into marts.tenants values ('acme', 'Acme', 'pro', 'Pro', 99, 'active', true)")
            connection.execute(
                "insert into marts.tenant_usage_status (tenant_id, month, channel, metric, direction, used, cap,"
                " warning_threshold_pct, percent_used, status)"
                " values ('acme', %s, %s, 'units', 'any', %s, %s, 80, 0, 'ok')",
                (month, channel, used, cap),
            )
            connection.execute("insert into marts.channel_prices values ('', 'sms', 0.0079)")


@pytest.fixture
def base(database: str, server: str) -> Base:
    return Base(database, server)


@pytest.fixture
def pinned(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten in the morning of a day of the month that `Base.make_marts` makes."""
    monkeypatch.setenv("METERING_AS_OF", "2026-11-20T10:00:00Z")


@pytest.fixture(autouse=True)
def _key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("METERING_PII_KEY", "a key for tests")
    monkeypatch.setenv("METERING_GUARD_TIMEOUT_MS", "20000")  # tests share their machine; test_silence.py sets its own


@pytest.fixture
def tracker(base: Base, tmp_path: Path) -> Iterator[UsageTracker]:
    with UsageTracker(base.url, tmp_path / "spool", flush_interval=0.05) as tracker:
        yield tracker
