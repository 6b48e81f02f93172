"""The run's last step: says which days are done, and fails the run for the providers that did not answer.

Run again "from failure" it asks those once more, and builds what they answer.
"""

import dagster as dg

from builds import ledger
from builds.build import run_build
from ingestion.run import PROVIDERS, IngestResult
from orchestration.assets.ingestion import OWNERS, SINGLE_RUN, ingest_window, report_of
from orchestration.assets.marts import RAW_TABLES, mart_keys
from orchestration.assets.reporting import load_id_of, raise_for_failed_providers
from orchestration.catalog.freshness import FRESH
from orchestration.catalog.runbooks import Runbook, runbook_metadata, with_runbook
from orchestration.failures import classified
from orchestration.options import RunOptions
from orchestration.partitions import window_of
from orchestration.resources import Providers, Warehouse
from usage_metering.clock import as_of

SOURCE_DAYS = dg.AssetKey(["ops", "source_days"])


def build_source_days_asset(partitions: dg.PartitionsDefinition) -> dg.AssetsDefinition:
    """Return `ops/source_days`, after everything else of the job."""

    @dg.multi_asset(
        name="source_days",
        specs=[
            dg.AssetSpec(
                SOURCE_DAYS,
                # All marts, not one: a backfill visits assets by their depth, and a step of several is as deep as its deepest.
                deps=mart_keys(),
                group_name="ops",
                kinds={"postgres"},
                owners=OWNERS,
                freshness_policy=FRESH,
                metadata=runbook_metadata(Runbook.PROVIDERS),
                description=with_runbook(
                    "Which days each provider has answered for and a build has taken in. Fails, naming the provider, "
                    "when one did not answer: its own days stay as they were. Re-executed from failure, it asks that provider "
                    "again and builds.",
                    Runbook.PROVIDERS,
                ),
            )
        ],
        partitions_def=partitions,
        backfill_policy=SINGLE_RUN,
        # Last as well in a run without marts, after whose making it is by its lineage.
        op_tags={"dagster/priority": "-1"},
    )
    def source_days(
        context: dg.AssetExecutionContext, warehouse: Warehouse, providers: Providers, options: RunOptions
    ) -> dg.MaterializeResult[None]:
        window = window_of(context)
        with classified():
            if continues_a_run(context.run):
                for provider in providers_to_ask_again(context.run, warehouse.url):
                    context.log.info(f"{provider} failed in run {context.run.parent_run_id}: it is read again")
                    result = ingest_window(provider, window, warehouse.url, providers.settings(), context.run.run_id)
                    report_checks(context.instance, provider, result)
                if options.builds and ledger.has_unbuilt_days(warehouse.url, window):
                    context.log.info(f"building [{window.start}, {window.end}) with what was answered")
                    run_build(warehouse.url, window, as_of=as_of(), build_id=context.run.run_id, tables=RAW_TABLES)
            raise_for_failed_providers(warehouse.url, context.run.run_id)
        return dg.MaterializeResult(metadata={"window": f"[{window.start}, {window.end})"})

    return source_days


def continues_a_run(run: dg.DagsterRun) -> bool:
    """Whether the run repeats some steps of another ("from failure") and builds nothing by a step of its own."""
    steps = run.step_keys_to_execute
    return run.parent_run_id is not None and steps is not None and "build_marts" not in steps


def providers_to_ask_again(run: dg.DagsterRun, database_url: str) -> list[str]:
    """Return the providers that failed in the run before, and that no step of this one asks.

    A provider that fails does not fail its own step, or nothing would be built from the others: of such a run "from failure"
    repeats this step alone.
    """
    assert run.parent_run_id is not None
    steps = run.step_keys_to_execute or ()
    failed = ledger.failures(database_url, load_id_of(run.parent_run_id))
    return [provider for provider in failed if f"ingest_{provider}" not in steps]


def report_checks(instance: dg.DagsterInstance, provider: str, result: IngestResult) -> None:
    """Tell the checks of a provider's raw tables, which stand at the run before, how it answered now."""
    keys = {table: dg.AssetKey(["raw", table]) for table in PROVIDERS[provider].tables}
    for check in report_of(result, keys, {}):
        if isinstance(check, dg.AssetCheckResult):
            assert check.asset_key is not None
            assert check.check_name is not None
            instance.report_runless_asset_event(
                dg.AssetCheckEvaluation(
                    asset_key=check.asset_key,
                    check_name=check.check_name,
                    passed=check.passed,
                    severity=check.severity,
                    metadata=check.metadata,
                )
            )
