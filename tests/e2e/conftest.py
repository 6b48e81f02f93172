"""The `system` fixtures: a database with Dagster's tables, a sandbox of known data, and the environment of both."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from cli import environment
from cli.instance import migrate_all
from cli.main import run
from sandbox import Dataset, running
from tests.conftest import WORK, built_once, fresh_database
from tests.dbt.price_book import stand
from tests.e2e.system import ROOT, System
from warehouse.urls import dagster_storage_url

AS_OF = "2026-11-10T12:00:00+00:00"
FIRST, LAST = date(2026, 9, 25), date(2026, 11, 10)


@pytest.fixture(scope="session")
def system_template(server: str, template: str, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Name of a migrated database that has Dagster's tables, too, and what only code changes (see `stand`), for tests to copy."""

    def build(url: str) -> None:
        os.environ["METERING_DAGSTER_STORAGE_URL"] = dagster_storage_url(url)
        _configured(url, tmp_path_factory.mktemp("system"))
        migrate_all()
        stand(url)

    return built_once(server, "system", template, build)


@pytest.fixture(scope="session")
def built_template(server: str, system_template: str, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Name of a database with every day of `known_dataset` ingested and built, for tests to copy."""

    def build(url: str) -> None:
        made = _configured(url, tmp_path_factory.mktemp("built"))
        with _served(made, known_dataset()):
            made.rebuild(FIRST.isoformat(), LAST.isoformat())

    return built_once(server, "built_system", system_template, build)


@pytest.fixture
def system_database(server: str, system_template: str) -> Iterator[str]:
    """URL of a fresh database ready for runs."""
    yield from fresh_database(server, system_template, WORK)


@pytest.fixture
def built_database(server: str, built_template: str) -> Iterator[str]:
    """URL of a fresh copy of the built database."""
    yield from fresh_database(server, built_template, WORK)


def known_dataset() -> Dataset:
    """Return six tenants over two months' ends and the as-of day; the same at each call."""
    return Dataset.generate(seed=11, tenants=6, first=FIRST, last=LAST, scale=0.15)


@pytest.fixture
def dataset() -> Dataset:
    """`known_dataset`, a test's own, since tests change records."""
    return known_dataset()


def _configured(database: str, folder: Path) -> System:
    """Return a system without providers or tenants; sets the environment, which its caller restores."""
    (folder / "dagster").mkdir()
    shutil.copyfile(ROOT / "dagster.yaml", folder / "dagster" / "dagster.yaml")
    # What one test's processes have parsed of the dbt project, those of the next need not parse again.
    (folder.parent / "parsed").mkdir(exist_ok=True)
    (folder / "dagster" / "dbt").symlink_to(folder.parent / "parsed")
    os.environ |= {
        "METERING_DATABASE_URL": database,
        "METERING_TENANT_DIRECTORY": str(folder / "directory"),
        "METERING_START_DATE": FIRST.isoformat(),
        "METERING_AS_OF": AS_OF,
        "METERING_PII_KEY": "a key for tests",
        "METERING_JWT_SECRET": "a secret for tests that is long enough",
        "METERING_REQUEST_BACKOFF_SECONDS": "0.01",
        "DAGSTER_HOME": str(folder / "dagster"),
    }
    environment.prepare()
    return System(database, folder, None)


@contextmanager
def _served(system: System, dataset: Dataset) -> Iterator[System]:
    """Give a system the tenants of ``dataset``, and providers that serve it."""
    dataset.write_directory(system.directory)
    with running(dataset, now=datetime.fromisoformat(AS_OF).astimezone(UTC)) as sandbox:
        os.environ |= sandbox.environment()
        system.sandbox = sandbox
        yield system


@pytest.fixture
def bare_system(system_database: str, tmp_path: Path, _clean_environment: None) -> System:
    """A system without providers or tenants: its test brings its own."""
    return _configured(system_database, tmp_path)


@pytest.fixture
def system(bare_system: System, dataset: Dataset) -> Iterator[System]:
    """A system at AS_OF over the test's dataset; nothing is ingested yet."""
    with _served(bare_system, dataset):
        yield bare_system


@pytest.fixture
def built_system(built_database: str, tmp_path: Path, _clean_environment: None) -> Iterator[System]:
    """As `system` over `known_dataset`, with the days FIRST … LAST ingested and built."""
    with _served(_configured(built_database, tmp_path), known_dataset()) as made:
        yield made


@pytest.fixture
def metering(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[object, str, str]]:
    """Run ``metering …`` as its entry point does, but in this process: its start takes longer than what it does here."""

    def metering(*arguments: str) -> tuple[object, str, str]:
        monkeypatch.setattr(sys, "argv", ["metering", *arguments])
        capsys.readouterr()
        with pytest.raises(SystemExit) as end:
            run()
        return end.value.code or 0, *capsys.readouterr()

    return metering
