"""Running the job in this very process, as a run that the UI can run again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import dagster as dg
from dagster._core.definitions.job_base import InMemoryJob
from dagster._core.execution.api import create_execution_plan, execute_run
from dagster._core.remote_origin import RegisteredCodeLocationOrigin, RemoteRepositoryOrigin

# As pyproject.toml, workspace.yaml and docker-compose.yml call it, and as Dagster calls a module's definitions.
CODE_LOCATION = "orchestration"
REPOSITORY = "__repository__"


def execute_here(
    job: dg.JobDefinition,
    instance: dg.DagsterInstance,
    *,
    assets: Sequence[dg.AssetKey] | None,
    tags: Mapping[str, str],
    run_config: Mapping[str, Any],
) -> dg.JobExecutionResult:
    """Run ``assets`` of the job (None: all of them) and return how it ended; nothing is raised for a step that fails.

    `execute_in_process` makes a run that says not which code location it is of: the UI can show it and not run it again.
    """
    selection = frozenset(assets) if assets else None
    job_pointer = InMemoryJob(job_def=job.get_subset(asset_selection=selection) if selection else job)
    location = RegisteredCodeLocationOrigin(location_name=CODE_LOCATION)
    run = instance.create_run_for_job(
        job_def=job_pointer.get_definition(),
        execution_plan=create_execution_plan(job_pointer, run_config=run_config, instance_ref=instance.get_ref()),
        run_config=run_config,
        tags={**job.run_tags, **tags},
        asset_selection=selection,
        remote_job_origin=RemoteRepositoryOrigin(location, REPOSITORY).get_job_origin(job.name),
    )
    return execute_run(InMemoryJob(job_def=job), run, instance)
