"""A run of the command line's is one that the UI can run again."""

from __future__ import annotations

from pathlib import Path

import dagster as dg

from orchestration.here import CODE_LOCATION, execute_here


def job_of_two() -> dg.JobDefinition:
    @dg.asset
    def first() -> None:
        return None

    @dg.asset(deps=[first])
    def second() -> None:
        raise dg.Failure("not today", allow_retries=False)

    definitions = dg.Definitions(
        assets=[first, second],
        jobs=[dg.define_asset_job("both", selection="*", executor_def=dg.in_process_executor)],
    )
    return definitions.resolve_job_def("both")


def test_it_says_which_code_location_it_is_of(tmp_path: Path) -> None:
    with dg.DagsterInstance.local_temp(str(tmp_path)) as instance:
        result = execute_here(job_of_two(), instance, assets=None, tags={"why": "a test"}, run_config={})
        assert not result.success
        assert [event.step_key for event in result.all_events if event.is_step_failure] == ["second"]
        run = instance.get_run_by_id(result.run_id)
        assert run is not None
        assert run.status is dg.DagsterRunStatus.FAILURE
        assert run.tags["why"] == "a test"
        assert run.remote_job_origin is not None
        assert run.remote_job_origin.location_name == CODE_LOCATION


def test_some_assets_alone(tmp_path: Path) -> None:
    with dg.DagsterInstance.local_temp(str(tmp_path)) as instance:
        result = execute_here(job_of_two(), instance, assets=[dg.AssetKey("first")], tags={}, run_config={})
        assert result.success
        run = instance.get_run_by_id(result.run_id)
        assert run is not None
        assert run.asset_selection == {dg.AssetKey("first")}
