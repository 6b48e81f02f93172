"""A run whose process is gone ends as failed and leaves the queue; one that lives is left alone."""

import dagster as dg
import psycopg
import pytest

from builds.run_lock import HOLDS_LOCK, is_held, run_lock
from orchestration.automation.lost_runs import LOST, lost_runs
from orchestration.resources import Warehouse


@pytest.fixture
def url(database: str, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("METERING_DATABASE_URL", database)
    return database


@dg.op
def nothing() -> None:
    """A step that does nothing."""


@dg.job
def empty() -> None:
    nothing()


def started(instance: dg.DagsterInstance, tags: dict[str, str] | None = None) -> str:
    """Return the id of a run that has started, as its process left it."""
    run = instance.create_run_for_job(empty, status=dg.DagsterRunStatus.STARTED, tags=tags or HOLDS_LOCK)
    return run.run_id


def tick(instance: dg.DagsterInstance, cursor: str | None) -> str | None:
    result = lost_runs(dg.build_sensor_context(instance=instance, cursor=cursor))
    assert isinstance(result, dg.SensorResult)
    return result.cursor


def status(instance: dg.DagsterInstance, run_id: str) -> dg.DagsterRunStatus:
    run = instance.get_run_by_id(run_id)
    assert run is not None
    return run.status


def test_a_run_without_its_process_is_failed_at_the_second_look(url: str) -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        gone, alive, other = started(instance), started(instance), started(instance, {"somebody": "else"})
        with run_lock(url, alive) as held:
            assert held
            cursor = tick(instance, None)
            assert status(instance, gone) == dg.DagsterRunStatus.STARTED, "it may just be ending"
            tick(instance, cursor)
        assert status(instance, gone) == dg.DagsterRunStatus.FAILURE
        assert status(instance, alive) == dg.DagsterRunStatus.STARTED
        assert status(instance, other) == dg.DagsterRunStatus.STARTED, "not ours to judge"
        assert LOST in [entry.message for entry in instance.all_logs(gone)]


def test_a_run_holds_its_lock_for_as_long_as_it_works(url: str) -> None:
    seen: list[bool] = []

    @dg.op
    def looks(context: dg.OpExecutionContext, warehouse: Warehouse) -> None:
        with psycopg.connect(warehouse.url, autocommit=True) as connection:
            seen.append(is_held(connection, context.run_id))

    @dg.job(resource_defs={"warehouse": Warehouse(url=url)}, executor_def=dg.in_process_executor)
    def looking() -> None:
        looks()

    with dg.DagsterInstance.ephemeral() as instance:
        result = looking.execute_in_process(instance=instance)
        run = instance.get_run_by_id(result.run_id)
        assert run is not None
        assert run.tags.items() >= HOLDS_LOCK.items()
    assert seen == [True]
    with psycopg.connect(url, autocommit=True) as connection:
        assert not is_held(connection, result.run_id)


def test_a_database_that_is_away_is_left_to_the_steps() -> None:
    with run_lock("postgresql://nobody@127.0.0.1:1/none", "a run") as held:
        assert not held
