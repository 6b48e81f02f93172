"""The code location: `build_definitions` is the only place where anything is wired to anything."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import dagster as dg

from builds.column_lineage import project_lineage
from builds.dbt_manifest import parsed_project
from orchestration.assets.alerts import build_alerts_asset
from orchestration.assets.forecasts import build_forecasts_asset
from orchestration.assets.ingestion import build_all, build_external_specs
from orchestration.assets.marts import build_mart_assets, build_view_specs
from orchestration.assets.source_days import build_source_days_asset
from orchestration.automation.jobs import rebuild_job
from orchestration.automation.lost_runs import lost_runs
from orchestration.automation.operational_alerts import operational_alerts
from orchestration.automation.proof import nightly_proof, proof
from orchestration.automation.schedules import daily, hourly_alerts, rolling
from orchestration.automation.sensors import changed_prices, late_events
from orchestration.options import OPTIONS, RunOptions
from orchestration.partitions import daily_partitions
from orchestration.resources import Providers, Warehouse


def build_definitions(overrides: Mapping[str, Any] | None = None, *, compute_lineage: bool = False) -> dg.Definitions:
    """Return everything that the Dagster server and the command line run.

    Args:
        overrides: resources by name (``warehouse``, ``providers``, ``options``) that replace the usual ones.
        compute_lineage: work out where columns come from if that is not kept yet (some seconds, once per project state).
    """
    partitions = daily_partitions()
    lineage = project_lineage(parsed_project(), compute=compute_lineage)
    return dg.Definitions(
        assets=[
            *build_external_specs(),
            *build_view_specs(lineage),
            *build_all(partitions),
            build_mart_assets(partitions, lineage),
            build_alerts_asset(partitions),
            build_forecasts_asset(partitions),
            build_source_days_asset(partitions),
        ],
        jobs=[rebuild_job, proof],
        schedules=[daily, rolling, hourly_alerts, nightly_proof],
        sensors=[late_events, changed_prices, lost_runs, operational_alerts],
        executor=dg.in_process_executor,
        # As the servers' `--log-format json`, for what runs in a process of its own.
        loggers={"console": dg.json_console_logger} if os.environ.get("METERING_LOG_FORMAT") == "json" else {},
        resources={"warehouse": Warehouse(), "providers": Providers(), OPTIONS: RunOptions(), **(overrides or {})},
    )


@dg.definitions
def defs() -> dg.Definitions:
    """Entry point of `dagster dev` and of the code server."""
    return build_definitions(compute_lineage=True)
