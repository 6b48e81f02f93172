"""Providers to read from: the sandbox, with little data."""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy
from typing import Any

import pytest
from adbc_driver_manager import dbapi
from dlt.destinations.impl.postgres.factory import get_adbc_driver_location

from ingestion.database import loader_url
from ingestion.load.staging import rows_by_table
from sandbox import Dataset, running
from tests.ingestion.ingesting import AS_OF, FIRST, LAST, Ingest


@pytest.fixture(scope="session")
def small() -> Dataset:
    """A few hundred records over five days; the directory's resources are not loaded unless a test does."""
    return Dataset.generate(first=FIRST, last=LAST, scale=0.1)


@pytest.fixture
def ingest(small: Dataset, database: str) -> Iterator[Ingest]:
    """A sandbox of one's own, and an empty database."""
    with running(deepcopy(small), now=AS_OF) as sandbox:
        yield Ingest(sandbox, database)


@pytest.fixture
def without_dlt(monkeypatch: pytest.MonkeyPatch) -> None:
    """Stage without dlt's pipeline, whose fixed cost is two thirds of so small a run.

    For tests of what was read and of what becomes of it; that it is loaded by dlt as it was read is for the others.
    """
    monkeypatch.setattr("ingestion.load.parts.stage", stage_plainly)


def stage_plainly(source: Any, *, dataset: str, database_url: str) -> None:
    """Load what ``source`` yields into schema ``dataset``. No rows, no table."""
    found = list(rows_by_table(source))
    if not found:
        return
    options = {"uri": loader_url(database_url)}
    with (
        dbapi.connect(driver=get_adbc_driver_location(), db_kwargs=options) as connection,
        connection.cursor() as cursor,
    ):
        cursor.execute(f'create schema "{dataset}"')
        for table, rows in found:
            cursor.adbc_ingest(table, rows, mode="create_append", db_schema_name=dataset)
        connection.commit()
