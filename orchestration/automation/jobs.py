"""The one job: any range of days as one run, one step after the other in one process."""

from __future__ import annotations

import dagster as dg

from orchestration.assets.alerts import USAGE_ALERTS
from orchestration.assets.forecasts import USAGE_FORECASTS
from orchestration.assets.ingestion import DIRECTORY_KEYS
from orchestration.assets.marts import RAW_KEYS, mart_keys
from orchestration.assets.source_days import SOURCE_DAYS
from orchestration.options import default_config

REBUILD = "rebuild"


def build_only_keys() -> list[dg.AssetKey]:
    """Return what a run without ingestion takes. The directory is read either way: a changed mapping must show."""
    return [*DIRECTORY_KEYS, *mart_keys(), USAGE_ALERTS, USAGE_FORECASTS, SOURCE_DAYS]


def ingest_only_keys() -> list[dg.AssetKey]:
    """Return what a run without a build takes."""
    return [*DIRECTORY_KEYS, *RAW_KEYS, SOURCE_DAYS]


rebuild_job = dg.define_asset_job(
    REBUILD,
    selection=dg.AssetSelection.all(),
    # Small steps, and a kill of the run's process must end all of its work: nothing may outlive it.
    executor_def=dg.in_process_executor,
    # What the launchpad opens with: every choice, at its default.
    config=default_config(),
    description="Ingest and build any range of days as one run. Safe to repeat, in any order, at the same time. "
    "Choose the days as partitions, the rest in the launchpad (resources, options).",
)
