"""The run's last step: says which days are done, and fails the run for the providers that did not answer."""

import dagster as dg

from orchestration import ledger
from orchestration.assets.ingestion import DIRECTORY_KEYS, OWNERS, SINGLE_RUN, load_id_of
from orchestration.assets.marts import RAW_KEYS, mart_keys
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
                description="Which days each provider has answered for and a build has taken in. Fails, naming the provider, "
                "when one did not answer: its own days stay as they were and will be asked for again.",
            )
        ],
        partitions_def=partitions,
        backfill_policy=SINGLE_RUN,
    )
    def source_days(context: dg.AssetExecutionContext, warehouse: Warehouse) -> dg.MaterializeResult[None]:
        window = window_of(context)
        with classified():
            failed = ledger.failures(warehouse.url, load_id_of(context.run.run_id))
        if failed:
            raise dg.Failure(
                description="\n".join(f"{provider}: {error}" for provider, error in failed.items()),
                metadata={"providers": list(failed)},
                allow_retries=False,
            )
        return dg.MaterializeResult(metadata={"window": f"[{window.start}, {window.end})"})

    return source_days
