"""`ops/usage_forecasts`: what the month will come to and when caps will be reached, from the marts of this build."""

import time

import dagster as dg
import psycopg

from costs.forecasts import write_forecasts
from orchestration.assets.ingestion import OWNERS, SINGLE_RUN
from orchestration.assets.marts import mart_keys
from orchestration.catalog.freshness import FRESH
from orchestration.catalog.runbooks import Runbook, runbook_metadata, with_runbook
from orchestration.failures import classified
from orchestration.resources import Warehouse
from usage_metering.clock import as_of

USAGE_FORECASTS = dg.AssetKey(["ops", "usage_forecasts"])


def build_forecasts_asset(partitions: dg.PartitionsDefinition) -> dg.AssetsDefinition:
    """Return `ops/usage_forecasts`, after the marts. Partitioned like the rest so that a backfill stays one run."""

    @dg.multi_asset(
        name="usage_forecasts",
        specs=[
            dg.AssetSpec(
                USAGE_FORECASTS,
                deps=mart_keys(),
                group_name="ops",
                kinds={"postgres"},
                owners=OWNERS,
                freshness_policy=FRESH,
                metadata=runbook_metadata(Runbook.MARTS),
                description=with_runbook(
                    "Per tenant: the month's cost, and per limit the month's usage and the day of reaching the cap.",
                    Runbook.MARTS,
                ),
            )
        ],
        partitions_def=partitions,
        backfill_policy=SINGLE_RUN,
    )
    def usage_forecasts(warehouse: Warehouse) -> dg.MaterializeResult[None]:
        started = time.monotonic()
        with classified(), psycopg.connect(warehouse.url, autocommit=True) as connection:
            count = write_forecasts(connection, as_of())
        return dg.MaterializeResult(
            asset_key=USAGE_FORECASTS,
            metadata={"forecasts": count, "duration_seconds": round(time.monotonic() - started, 3)},
        )

    return usage_forecasts
