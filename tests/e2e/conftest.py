"""The `system` fixture: a fresh database with Dagster's tables, a sandbox of known data, and the environment of both."""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import Iterator
from datetime import UTC, date, datetime
from pathlib import Path

import psycopg
import pytest

from cli import environment
from cli.instance import migrate_all
from ingestion.sandbox import Dataset, running
from tests.conftest import SERVER_FOLDER, TEMPLATE_LOCK, fresh_database
from tests.e2e.system import ROOT, System
from warehouse.urls import dagster_storage_url, with_database

AS_OF = "2026-11-10T12:00:00+00:00"
FIRST, LAST = date(2026, 9, 25), date(2026, 11, 10)


@pytest.fixture(scope="session")
def system_template(server: str, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Name of a migrated database that Dagster's tables are in, too."""
    name = f"metering_system_{uuid.uuid5(uuid.NAMESPACE_OID, os.environ[SERVER_FOLDER]).hex[:8]}"
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute("select pg_advisory_lock(%s)", (TEMPLATE_LOCK + 1,))
        if connection.execute("select 1 from pg_database where datname = %s", (name,)).fetchone() is None:
            connection.execute(f"create database {name}_building".encode())
            url = with_database(server, f"{name}_building")
            with pytest.MonkeyPatch.context() as patch:
                patch.setenv("METERING_DATABASE_URL", url)
                patch.setenv("METERING_DAGSTER_STORAGE_URL", dagster_storage_url(url))
                patch.setenv("DAGSTER_HOME", str(tmp_path_factory.mktemp("dagster")))
                migrate_all()
            connection.execute(f"alter database {name}_building rename to {name}".encode())
    return name


@pytest.fixture
def system_database(server: str, system_template: str) -> Iterator[str]:
    """URL of a fresh database ready for runs."""
    yield from fresh_database(server, system_template, "system")


@pytest.fixture
def dataset() -> Dataset:
    """Six tenants over two months' ends and the as-of day; a test's own, since tests change records."""
    return Dataset.generate(seed=11, tenants=6, first=FIRST, last=LAST, scale=0.3)


@pytest.fixture
def bare_system(system_database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> System:
    """A system without providers or tenants: its test brings its own."""
    (tmp_path / "dagster").mkdir()
    shutil.copyfile(ROOT / "dagster.yaml", tmp_path / "dagster" / "dagster.yaml")
    variables = {
        "METERING_DATABASE_URL": system_database,
        "METERING_TENANT_DIRECTORY": str(tmp_path / "directory"),
        "METERING_START_DATE": FIRST.isoformat(),
        "METERING_AS_OF": AS_OF,
        "METERING_PII_KEY": "a key for tests",
        "METERING_JWT_SECRET": "a secret for tests that is long enough",
        "METERING_REQUEST_BACKOFF_SECONDS": "0.01",
        "DAGSTER_HOME": str(tmp_path / "dagster"),
    }
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    # prepare() adds what the command line would; monkeypatch must know the names to take them away again.
    for name in (
        "METERING_API_DATABASE_URL",
        "METERING_TRACKER_DATABASE_URL",
        "METERING_OPERATOR_DATABASE_URL",
        "METERING_DAGSTER_STORAGE_URL",
    ):
        monkeypatch.setenv(name, "")
    for name in ("DBT_PROJECT_DIR", "DBT_PROFILES_DIR", *environment.TOOL_DEFAULTS):
        monkeypatch.setenv(name, "")
    environment.prepare()
    return System(system_database, tmp_path, None)


@pytest.fixture
def system(bare_system: System, dataset: Dataset, monkeypatch: pytest.MonkeyPatch) -> Iterator[System]:
    """A system at AS_OF over the test's dataset; nothing is ingested yet."""
    dataset.write_directory(bare_system.directory)
    with running(dataset, now=datetime.fromisoformat(AS_OF).astimezone(UTC)) as sandbox:
        for name, value in sandbox.environment().items():
            monkeypatch.setenv(name, value)
        bare_system.sandbox = sandbox
        yield bare_system
