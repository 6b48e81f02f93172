"""The run's last step: says which days are done, and fails the run for the providers that did not answer."""

import dagster as dg

from orchestration.assets.ingestion import DIRECTORY_KEYS, OWNERS, SINGLE_RUN
from orchestration.assets.marts import RAW_KEYS, mart_keys
from orchestration.assets.reporting import raise_for_failed_providers
from orchestration.catalog.freshness import FRESH
from orchestration.catalog.runbooks import Runbook, runbook_metadata, with_runbook
from orchestration.failures import classified
from orchestration.partitions import window_of
from orchestration.resources import Warehouse

SOURCE_DAYS = dg.AssetKey(["ops", "source_days"])


def build_source_days_asset(partitions: dg.PartitionsDefinition) -> dg.AssetsDefinition:
    """Return `ops/source_days`, after everything else of the job."""

    @dg.multi_asset(
        name="source_days",
        specs=[
            dg.AssetSpec(
                SOURCE_DAYS,
                # All marts, not one: a backfill visits assets by their depth, and a step of several is as deep as its deepest.
                deps=[*mart_keys(), *RAW_KEYS, *DIRECTORY_KEYS],
                group_name="ops",
                kinds={"postgres"},
                owners=OWNERS,
                freshness_policy=FRESH,
                metadata=runbook_metadata(Runbook.PROVIDERS),
                description=with_runbook(
                    "Which days each provider has answered for and a build has taken in. Fails, naming the provider, "
                    "when one did not answer: its own days stay as they were and will be asked for again.",
                    Runbook.PROVIDERS,
                ),
            )
        ],
        partitions_def=partitions,
        backfill_policy=SINGLE_RUN,
    )
    def source_days(context: dg.AssetExecutionContext, warehouse: Warehouse) -> dg.MaterializeResult[None]:
        window = window_of(context)
        with classified():
            raise_for_failed_providers(warehouse.url, context.run.run_id)
        return dg.MaterializeResult(metadata={"window": f"[{window.start}, {window.end})"})

    return source_days
