"""What the process of a run may not cost, 96 times a day."""

from __future__ import annotations

import os
import subprocess
import sys

import dagster as dg
import pytest

from orchestration.resources import Warehouse, hold_connections
from orchestration.storage import ASKED_AGAIN
from tests.paths import python_path

HEAVY = ("dbt", "dagster_dbt")


def test_a_process_that_loads_the_code_location_does_not_import_dbt() -> None:
    """Two seconds of CPU time; a run in which nothing has changed runs no dbt."""
    loaded = "import sys, orchestration.definitions; print([name for name in {names} if name in sys.modules])"
    environment = {**os.environ, "PYTHONPATH": python_path()}
    done = subprocess.run(
        [sys.executable, "-c", loaded.format(names=HEAVY)], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


def test_a_run_holds_the_connections_of_dagsters_storage(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without that each of its thousand statements connects anew."""
    held: list[dict[str, int]] = []
    monkeypatch.setattr(dg.DagsterInstance, "optimize_for_webserver", lambda self, **options: held.append(options))

    @dg.op
    def looks(warehouse: Warehouse) -> None:
        assert warehouse.url == database

    @dg.job(resource_defs={"warehouse": Warehouse(url=database)}, executor_def=dg.in_process_executor)
    def looking() -> None:
        looks()

    assert looking.execute_in_process().success
    assert len(held) == 1


@pytest.mark.parametrize("name", ASKED_AGAIN)
def test_a_run_asks_once_for_the_tables_and_columns_of_dagsters_storage(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    with dg.DagsterInstance.ephemeral() as instance:
        storage = instance.event_log_storage
        assert callable(getattr(storage, name)), "Dagster has another name for it: measure again"
        monkeypatch.setattr(dg.DagsterInstance, "optimize_for_webserver", lambda self, **options: None)
        monkeypatch.setattr(storage, name, lambda *what: asked.append(what[-1]) or what[-1] == "there")
        hold_connections(instance)
        answers = [getattr(storage, name)(what) for what in ("there", "there", "absent", "absent")]
    assert answers == [True, True, False, False]
    assert asked == ["there", "absent", "absent"]
