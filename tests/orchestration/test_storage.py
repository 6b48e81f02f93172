"""Dagster's event log of dagster.yaml."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import psycopg
import pytest
import sqlalchemy as sa

from orchestration.storage import EventLog
from tests.paths import ROOT
from warehouse.urls import dagster_storage_url

ASSETS = 20
OTHERS = """
select count(*) from pg_stat_activity
where datname = current_database() and backend_type = 'client backend' and pid <> pg_backend_pid()
"""


def job_of_many() -> dg.JobDefinition:
    @dg.multi_asset(specs=[dg.AssetSpec(f"asset_{number}") for number in range(ASSETS)])
    def many() -> Iterator[dg.MaterializeResult[None]]:
        yield from ()

    definitions = dg.Definitions(assets=[many], jobs=[dg.define_asset_job("all", executor_def=dg.in_process_executor)])
    return definitions.resolve_job_def("all")


def test_a_run_is_created_by_fewer_connections_than_it_has_assets(
    database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As Dagster has it, the daemon makes three for each; and none is left when the instance is."""
    shutil.copyfile(ROOT / "dagster.yaml", tmp_path / "dagster.yaml")
    monkeypatch.setenv("METERING_DAGSTER_STORAGE_URL", dagster_storage_url(database))
    job, connected = job_of_many(), []
    with dg.DagsterInstance.from_config(str(tmp_path)) as instance:
        instance.create_run_for_job(job)
        count = lambda *_: connected.append(1)  # noqa: E731
        sa.event.listen(sa.pool.Pool, "connect", count)
        try:
            run = instance.create_run_for_job(job)
        finally:
            sa.event.remove(sa.pool.Pool, "connect", count)
        planned = instance.all_logs(run.run_id, of_type=dg.DagsterEventType.ASSET_MATERIALIZATION_PLANNED)
        assert len(planned) == ASSETS
        assert len(connected) < ASSETS / 2
    # A server ends a session a moment after its connection is closed.
    deadline = time.monotonic() + 20
    with psycopg.connect(database, autocommit=True) as connection:
        while connection.execute(OTHERS).fetchone() != (0,):
            assert time.monotonic() < deadline
            time.sleep(0.1)


def test_a_server_that_has_ended_the_connection_is_connected_to_again(
    database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A restart between two ticks of a schedule: the second creates its run, too."""
    shutil.copyfile(ROOT / "dagster.yaml", tmp_path / "dagster.yaml")
    monkeypatch.setenv("METERING_DAGSTER_STORAGE_URL", dagster_storage_url(database))
    job = job_of_many()
    with dg.DagsterInstance.from_config(str(tmp_path)) as instance:
        instance.create_run_for_job(job)
        with psycopg.connect(database, autocommit=True) as connection:
            connection.execute(f"select pg_terminate_backend(pid) from ({OTHERS.replace('count(*)', 'pid')}) as held")
        run = instance.create_run_for_job(job)
        planned = instance.all_logs(run.run_id, of_type=dg.DagsterEventType.ASSET_MATERIALIZATION_PLANNED)
        assert len(planned) == ASSETS


def test_what_dagster_yaml_says_of_the_event_log_is_heard(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("METERING_DAGSTER_STORAGE_URL", "postgresql://nobody:-@127.0.0.1:1/none")
    kept = {"postgres_url": "postgresql://nobody:-@127.0.0.1:1/none", "should_autocreate_tables": False}
    assert EventLog.from_config_value(None, kept).should_autocreate_tables is False
