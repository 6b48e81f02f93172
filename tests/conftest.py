"""What every test stands on: one PostgreSQL for the session, and a fresh database per test, cloned from a template.

The server is the embedded one unless METERING_DATABASE_URL names another (its role must be able to create databases).
A test never sees the caller's settings of ours or of a provider.
"""

from __future__ import annotations

import atexit
import gc
import multiprocessing.util
import os
import shutil
import tempfile
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import fasteners
import psycopg
import pytest

from ingestion.config import PROVIDER_VARIABLES
from warehouse import embedded
from warehouse.migrate import migrate
from warehouse.roles import grant_database
from warehouse.urls import with_database

SERVER_FOLDER = "METERING_TEST_SERVER_FOLDER"
EXTERNAL_URL = "METERING_TEST_EXTERNAL_URL"
KEPT = (SERVER_FOLDER, EXTERNAL_URL, "METERING_SPECS_DIR")
CLEARED = ("METERING_", "DAGSTER_", "DBT_", *(f"{provider.upper()}_" for provider in PROVIDER_VARIABLES))
TEMPLATE_LOCK = 4_716_201_554_999
WORK = "work"
# Of files, not block by block through the log: half of the CPU time.
COPIED = "strategy file_copy"
T = TypeVar("T")

# Parts of the ids of tests that take long, the longest first. Before them, one for each worker: each makes another template, so that
# none begins by waiting for another's.
SLOW_FIRST = (
    *("e2e/test_dagster_ui", "every_service_comes_up"),
    *(f"e2e/test_{name}" for name in ("closing", "crash", "rebuild", "api", "tracked")),
    "e2e/",
    *(f"dbt/test_{name}" for name in ("cost_history", "windows", "settlement", "proofs", "relations", "closing")),
    "dbt/",
    "ingestion/test_run",
)

# Folders in memory, as Linux has them, where it has this much of it free: a server's files, made, copied and removed for a
# thousand databases, cost four times the CPU time on a disk.
MEMORY = Path("/dev/shm")
MEMORY_NEEDED = 6 * 2**30

# Faster than safe: these databases live for seconds.
TEST_SETTINGS = {
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "max_connections": "400",
}


def pytest_configure(config: pytest.Config) -> None:
    """Let each process collect garbage rarely, and in the controlling one choose the server that the workers will share."""
    # dbt and Dagster make and keep so many objects that looking through them took a sixth of a build's time.
    gc.set_threshold(50_000, 50, 50)
    if hasattr(config, "workerinput"):
        # Before all that is registered from here on, which runs first.
        atexit.register(_end_at_once, os.getpid())
    if SERVER_FOLDER in os.environ:
        return
    os.environ[EXTERNAL_URL] = os.environ.get("METERING_DATABASE_URL", "")
    os.environ[SERVER_FOLDER] = tempfile.mkdtemp(prefix="metering-test-", dir=_memory())
    # Temporary folders of processes that tests kill go when the session goes; pytest keeps its own where they were.
    os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", tempfile.gettempdir())
    os.environ["TMPDIR"] = str(Path(os.environ[SERVER_FOLDER]) / "tmp")
    Path(os.environ["TMPDIR"]).mkdir()
    tempfile.tempdir = None
    config._metering_server_folder = os.environ[SERVER_FOLDER]  # type: ignore[attr-defined]


def _end_at_once(pid: int) -> None:
    """End a worker without taking its objects apart, which took longer than the ten seconds that xdist waits for it."""
    if os.getpid() == pid:
        os._exit(0)


def _memory() -> Path | None:
    """Return the folder in memory, where one is large enough (a container's often is not) and may be written."""
    if not os.access(MEMORY, os.W_OK) or shutil.disk_usage(MEMORY).free < MEMORY_NEEDED:
        return None
    return MEMORY


def pytest_unconfigure(config: pytest.Config) -> None:
    folder = getattr(config, "_metering_server_folder", None)
    if folder is None:
        return
    for data in Path(folder).glob("pg*"):
        embedded.stop(data)
    # multiprocessing removes its own folder when the process ends, and complains where that is gone.
    multiprocessing.util._run_finalizers()
    shutil.rmtree(folder, ignore_errors=True)
    del os.environ[SERVER_FOLDER], os.environ["TMPDIR"]
    tempfile.tempdir = None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let each worker begin with its share of what takes long, so that short tests end the run and none is waited for at its end.

    worksteal gives each worker a part of the list, in order; before, the first had all that takes long.
    """
    workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    ranks = {item: next((rank for rank, part in enumerate(SLOW_FIRST) if part in item.nodeid), 99) for item in items}
    slow = sorted((item for item in items if ranks[item] < 99), key=ranks.__getitem__)
    items[:] = dealt(slow, [item for item in items if ranks[item] == 99], workers)


def dealt(slow: Sequence[T], rest: Sequence[T], workers: int) -> list[T]:
    """Return all of both, so that of the parts that worksteal makes each begins with its share of ``slow``, dealt in turn."""
    found: list[T] = []
    used, total = 0, len(slow) + len(rest)
    for worker in range(workers):
        share = slow[worker::workers]
        size = (total - len(found)) // (workers - worker)
        short = max(0, size - len(share))
        found += [*share, *rest[used : used + short]]
        used += short
    return [*found, *rest[used:]]


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """Return half as many workers again as there are cores: tests wait for databases, processes and servers, too."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return cores + max(1, cores // 2)


@contextmanager
def clean_environment() -> Iterator[None]:
    """Hide the caller's settings, and take back what the code under test sets: the commands export their environment."""
    saved = dict(os.environ)
    for name in saved:
        if name.startswith(CLEARED) and name not in KEPT:
            del os.environ[name]
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(saved)


@pytest.fixture(autouse=True)
def _clean_environment() -> Iterator[None]:
    with clean_environment():
        yield


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


def _session() -> str:
    """Return what tells this session's databases from those of another on the same server."""
    return uuid.uuid5(uuid.NAMESPACE_OID, os.environ[SERVER_FOLDER]).hex[:8]


def built_once(server: str, name: str, template: str | None, build: Callable[[str], None]) -> str:
    """Return the name of a database for tests to copy, made by whichever worker comes first; the others wait for it.

    Args:
        template: what it is a copy of, if anything.
        build: is given the URL of the copy, in a clean environment, and fills it.
    """
    made = f"metering_{name}_{_session()}"
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute("select pg_advisory_lock(hashtextextended(%s, %s))", (made, TEMPLATE_LOCK))
        if connection.execute("select 1 from pg_database where datname = %s", (made,)).fetchone() is None:
            for url in fresh_database(server, template, WORK):
                with clean_environment():
                    build(url)
                # Connections that a pool still holds would keep it from being copied.
                building = _database_name(WORK)
                connection.execute(
                    "select pg_terminate_backend(pid) from pg_stat_activity where datname = %s", (building,)
                )
                connection.execute(f"alter database {building} rename to {made}".encode())
    return made


def _template(server: str) -> str:
    return built_once(server, "template", None, lambda url: migrate(url))


@pytest.fixture(scope="session")
def template(server: str) -> str:
    """Name of the migrated template database."""
    return _template(server)


@pytest.fixture(scope="session")
def oldest_template(oldest_server: str) -> str:
    """As `template`, on the oldest server."""
    return _template(oldest_server)


def _database_name(kind: str) -> str:
    return f"test_{kind}_{os.environ.get('PYTEST_XDIST_WORKER', 'main')}_{_session()}"


def fresh_database(server: str, template: str | None, kind: str) -> Iterator[str]:
    """Yield the URL of a new database, a copy of ``template`` where one is named; the next of its name drops it.

    Its name is the same for every test of a worker: dbt's manifest names the database, and is then parsed once (4 s of CPU
    time). So a test has one database of a kind, and what dbt builds in is always of the kind `WORK`.
    """
    name = _database_name(kind)
    # One connection: starting another costs as much as half of a copy.
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f"drop database if exists {name} with (force)".encode())
        connection.execute(f"create database {name}{f' template {template} {COPIED}' if template else ''}".encode())
        if template:
            # A copy has everything of its template but the rights on the database itself.
            grant_database(connection, name)
        try:
            yield with_database(server, name)
        finally:
            # Not on our own server, which goes with all of them: a session that is only just ending makes a drop wait a tenth of a second.
            if os.environ[EXTERNAL_URL]:
                connection.execute(f"drop database if exists {name} with (force)".encode())


@pytest.fixture
def database(server: str, template: str) -> Iterator[str]:
    """URL of a fresh, migrated database, as its owner."""
    yield from fresh_database(server, template, WORK)


@pytest.fixture
def oldest_database(oldest_server: str, oldest_template: str) -> Iterator[str]:
    """URL of a fresh, migrated database on the oldest PostgreSQL that the embedded package offers."""
    yield from fresh_database(oldest_server, oldest_template, "oldest")


@pytest.fixture
def empty_database(server: str) -> Iterator[str]:
    """URL of a fresh database without anything of ours."""
    yield from fresh_database(server, None, "empty")
