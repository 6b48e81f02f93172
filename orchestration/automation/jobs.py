"""The one job: any range of days as one run, one step after the other in one process."""

from __future__ import annotations

import dagster as dg

REBUILD = "rebuild"

rebuild_job = dg.define_asset_job(
    REBUILD,
    selection=dg.AssetSelection.all(),
    # Small steps, and a kill of the run's process must end all of its work: nothing may outlive it.
    executor_def=dg.in_process_executor,
    description="Ingest and build any range of days as one run. Safe to repeat, in any order, at the same time.",
)
