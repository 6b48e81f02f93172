"""What every test stands on: one PostgreSQL for the session, and a fresh database per test, cloned from a template.

The server is the embedded one unless METERING_DATABASE_URL names another (its role must be able to create databases).
A test never sees the caller's settings of ours or of a provider.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path

import fasteners
import psycopg
import pytest

from warehouse import embedded
from warehouse.migrate import migrate
from warehouse.roles import ensure_grants
from warehouse.urls import with_database

SERVER_FOLDER = "METERING_TEST_SERVER_FOLDER"
EXTERNAL_URL = "METERING_TEST_EXTERNAL_URL"
KEPT = (SERVER_FOLDER, EXTERNAL_URL, "METERING_SPECS_DIR")
CLEARED = ("METERING_", "TWILIO_", "OPENAI_", "SENDGRID_", "STRIPE_", "CLOUDFLARE_", "DAGSTER_", "DBT_")
TEMPLATE_LOCK = 4_716_201_554_999

# Faster than safe: these databases live for seconds.
TEST_SETTINGS = {
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "max_connections": "400",
}


def pytest_configure(config: pytest.Config) -> None:
    """In the controlling process only: choose the server that the workers will share."""
    if SERVER_FOLDER in os.environ:
        return
    os.environ[EXTERNAL_URL] = os.environ.get("METERING_DATABASE_URL", "")
    os.environ[SERVER_FOLDER] = tempfile.mkdtemp(prefix="metering-test-")
    config._metering_server_folder = os.environ[SERVER_FOLDER]  # type: ignore[attr-defined]


def pytest_unconfigure(config: pytest.Config) -> None:
    folder = getattr(config, "_metering_server_folder", None)
    if folder is None:
        return
    for data in Path(folder).glob("pg*"):
        embedded.stop(data)
    shutil.rmtree(folder, ignore_errors=True)
    del os.environ[SERVER_FOLDER]


@pytest.fixture(autouse=True)
def _clean_environment() -> Iterator[None]:
    """Hide the caller's settings, and take back what the code under test sets: the commands export their environment."""
    saved = dict(os.environ)
    for name in saved:
        if name.startswith(CLEARED) and name not in KEPT:
            del os.environ[name]
    yield
    os.environ.clear()
    os.environ.update(saved)


def _start(version: int) -> str:
    """Start (or join) the session's embedded server of one major version, tuned for tests."""
    folder = Path(os.environ[SERVER_FOLDER]) / f"pg{version}"
    # One worker at a time: the restart after tuning would break another worker's connections.
    with fasteners.InterProcessLock(Path(os.environ[SERVER_FOLDER]) / "lock"):
        first = not (folder / "PG_VERSION").exists()
        url = embedded.start(folder, database="postgres", version=version)
        if first:
            with psycopg.connect(url, autocommit=True) as connection:
                for name, value in TEST_SETTINGS.items():
                    connection.execute(f"alter system set {name} = '{value}'".encode())
            embedded.stop(folder)
            url = embedded.start(folder, database="postgres", version=version)
    return url


@pytest.fixture(scope="session")
def server() -> str:
    """URL of the maintenance database of the session's PostgreSQL, as a role that may create databases."""
    return os.environ[EXTERNAL_URL] or _start(embedded.NEWEST_VERSION)


@pytest.fixture(scope="session")
def oldest_server() -> str:
    """As `server`, on the oldest PostgreSQL that the embedded package offers."""
    return _start(embedded.OLDEST_VERSION)


def _execute(server: str, statement: str) -> None:
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(statement.encode())


def _session() -> str:
    """Return what tells this session's databases from those of another on the same server."""
    return uuid.uuid5(uuid.NAMESPACE_OID, os.environ[SERVER_FOLDER]).hex[:8]


def _template(server: str) -> str:
    """Return the name of this session's migrated template database, made by whichever worker comes first."""
    name = f"metering_template_{_session()}"
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute("select pg_advisory_lock(%s)", (TEMPLATE_LOCK,))
        if connection.execute("select 1 from pg_database where datname = %s", (name,)).fetchone() is None:
            connection.execute(f"drop database if exists {name}_building".encode())
            connection.execute(f"create database {name}_building".encode())
            migrate(with_database(server, f"{name}_building"))
            connection.execute(f"alter database {name}_building rename to {name}".encode())
    return name


@pytest.fixture(scope="session")
def template(server: str) -> str:
    """Name of the migrated template database."""
    return _template(server)


@pytest.fixture(scope="session")
def oldest_template(oldest_server: str) -> str:
    """As `template`, on the oldest server."""
    return _template(oldest_server)


def fresh_database(server: str, template: str | None, kind: str) -> Iterator[str]:
    """Yield the URL of a new database, a copy of ``template`` where one is named; drop it afterwards.

    Its name is the same for every test of a worker: dbt's manifest names the database, and is then parsed once.
    """
    name = f"test_{kind}_{os.environ.get('PYTEST_XDIST_WORKER', 'main')}_{_session()}"
    _execute(server, f"drop database if exists {name} with (force)")
    _execute(server, f"create database {name}" + (f" template {template}" if template else ""))
    url = with_database(server, name)
    if template:
        # A copy has everything of its template but the rights on the database itself.
        with psycopg.connect(url, autocommit=True) as connection:
            ensure_grants(connection)
    try:
        yield url
    finally:
        _execute(server, f"drop database {name} with (force)")


@pytest.fixture
def database(server: str, template: str) -> Iterator[str]:
    """URL of a fresh, migrated database, as its owner."""
    yield from fresh_database(server, template, "migrated")


@pytest.fixture
def oldest_database(oldest_server: str, oldest_template: str) -> Iterator[str]:
    """URL of a fresh, migrated database on the oldest PostgreSQL that the embedded package offers."""
    yield from fresh_database(oldest_server, oldest_template, "oldest")


@pytest.fixture
def empty_database(server: str) -> Iterator[str]:
    """URL of a fresh database without anything of ours."""
    yield from fresh_database(server, None, "empty")
