"""What a source makes of its provider's answers is staged here without dlt's pipeline.

Its fixed cost is two thirds of so small a run. That what is staged is the same by dlt is for `by_dlt`, and for all of
`tests/ingestion/test_run.py`, `load` and the tests beyond ingestion.
"""

from __future__ import annotations

from typing import Any

import pytest
from adbc_driver_manager import dbapi
from dlt.destinations.impl.postgres.factory import get_adbc_driver_location

from ingestion.database import loader_url
from ingestion.load.staging import rows_by_table


@pytest.fixture
def by_dlt() -> None:
    """For tests of what a stored row says in each of its columns: they load as a run does."""


@pytest.fixture(autouse=True)
def _stage(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if "by_dlt" not in request.fixturenames:
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
