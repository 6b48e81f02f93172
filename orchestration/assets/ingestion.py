"""One multi-asset per provider, all made by `build_ingest_assets`, and one for the tenant directory."""

import csv
import time
from collections.abc import Iterator
from typing import Any

import dagster as dg

from builds import ledger
from builds.dbt_manifest import project_folder
from builds.figures import by_day, daily_relation, rejected_records
from costs.seeds import check_price_book
from ingestion.archived import months_of, refuse_archived
from ingestion.config import IngestSettings
from ingestion.directory import load_directory
from ingestion.run import PROVIDERS, IngestResult, TableResult, ingest_provider
from ingestion.sources.reading import SourceSpec
from ingestion.windows import Window
from orchestration.assets.reporting import add_figures, load_id_of
from orchestration.catalog.columns import columns_of, stored_columns
from orchestration.catalog.freshness import FRESH
from orchestration.catalog.runbooks import Runbook, runbook_metadata, with_runbook
from orchestration.failures import classified
from orchestration.options import RunOptions
from orchestration.partitions import window_of
from orchestration.resources import Providers, Warehouse
from usage_metering.clock import as_of

DIRECTORY_TABLES = ("tenants", "tenant_resources", "tenant_limits")
DIRECTORY_KEYS = [dg.AssetKey(["raw", table]) for table in DIRECTORY_TABLES]
RESOURCES_KEY = dg.AssetKey(["raw", "tenant_resources"])
OWNERS = ["team:data"]
SINGLE_RUN = dg.BackfillPolicy.single_run()
NOT_ASKED = "not asked"
"""The status of a provider that a run's options leave out."""

AssetEvents = Iterator[dg.MaterializeResult[None] | dg.AssetCheckResult]


def known_plans() -> set[str]:
    """Return the plans of the seed `plans.csv`, the one place that names them."""
    with (project_folder() / "seeds" / "plans.csv").open(newline="") as lines:
        return {row["plan"] for row in csv.DictReader(lines)}


def build_directory_assets(partitions: dg.PartitionsDefinition) -> dg.AssetsDefinition:
    """Return the tenant directory's assets. Partitioned like the rest so that a backfill stays one run."""

    @dg.multi_asset(
        name="tenant_directory",
        specs=[
            dg.AssetSpec(
                key,
                deps=[dg.AssetKey(["directory", "tenants"])],
                group_name="directory",
                kinds={"python", "postgres"},
                owners=OWNERS,
                freshness_policy=FRESH,
                metadata={**stored_columns(table), **runbook_metadata(Runbook.DIRECTORY)},
                description=with_runbook(
                    f"The directory's {table}.csv (or table of that name), with its history. Loaded whole.",
                    Runbook.DIRECTORY,
                ),
            )
            for key, table in zip(DIRECTORY_KEYS, DIRECTORY_TABLES, strict=True)
        ],
        partitions_def=partitions,
        backfill_policy=SINGLE_RUN,
    )
    def tenant_directory(warehouse: Warehouse, providers: Providers) -> AssetEvents:
        started = time.monotonic()
        with classified():
            # Nothing is read that could not be built: what is wrong with the prices is said before a provider is asked.
            check_price_book()
            loaded = load_directory(
                settings=providers.settings(),
                database_url=warehouse.url,
                as_of=as_of(),
                known_plans=known_plans(),
            )
        counts = (loaded.tenants, loaded.resources, loaded.limits)
        for key, rows in zip(DIRECTORY_KEYS, counts, strict=True):
            yield dg.MaterializeResult(
                asset_key=key, metadata={"dagster/row_count": rows, "duration_seconds": _seconds_since(started)}
            )

    return tenant_directory


def build_ingest_assets(provider: str, spec: SourceSpec, partitions: dg.PartitionsDefinition) -> dg.AssetsDefinition:
    """Return one provider's raw tables as assets, each with a check that the provider answered for every day.

    A provider that fails does not fail its step: the others and the build go on with what is there. Its check is red,
    and the run's last step (`ops/source_days`) fails, naming it.
    """
    keys = {table: dg.AssetKey(["raw", table]) for table in spec.tables}
    daily = {table: relation for table in spec.tables if (relation := daily_relation("raw", table, columns_of(table)))}

    @dg.multi_asset(
        name=f"ingest_{provider}",
        specs=[
            dg.AssetSpec(
                key,
                # What is the tenants' is read of the provider: the directory comes first.
                deps=[dg.AssetKey([provider, table.removeprefix(f"{provider}_")]), RESOURCES_KEY],
                group_name=provider,
                kinds={"dlt", "postgres", provider},
                owners=OWNERS,
                freshness_policy=FRESH,
                metadata={**stored_columns(table), **runbook_metadata(Runbook.PROVIDERS)},
                description=with_runbook(
                    f"{provider}'s {table.removeprefix(f'{provider}_').replace('_', ' ')}, as the provider says them, "
                    "replaced by whole days: table × account × UTC day.",
                    Runbook.PROVIDERS,
                ),
            )
            for table, key in keys.items()
        ],
        check_specs=[
            dg.AssetCheckSpec("answered", asset=key, description="The provider answered for every day of the window.")
            for key in keys.values()
        ]
        + [
            dg.AssetCheckSpec("no_rejected_records", asset=key, description="Every record could be read as what it is.")
            for key in keys.values()
        ],
        partitions_def=partitions,
        backfill_policy=SINGLE_RUN,
        op_tags={"provider": provider},
    )
    def ingest(
        context: dg.AssetExecutionContext, warehouse: Warehouse, providers: Providers, options: RunOptions
    ) -> AssetEvents:
        window = window_of(context)
        started = time.monotonic()
        with classified():
            if options.reads(provider):
                result = ingest_window(provider, window, warehouse.url, providers.settings(), context.run.run_id)
            else:
                result = _left_out(provider, spec, window, warehouse.url)
                context.log.info(f"{provider} was left out by this run's options; its stored rows stay")
            figures = by_day(warehouse.url, daily, window)
        for table, key in keys.items():
            add_figures(context, key, figures.get(table, {}))
        common = {"window": f"[{window.start}, {window.end})", "duration_seconds": _seconds_since(started)}
        yield from report_of(result, keys, common)

    return ingest


def ingest_window(
    provider: str, window: Window, database_url: str, settings: IngestSettings, run_id: str
) -> IngestResult:
    """Ingest one provider's window, and mark its days: see `builds.ledger`. Errors are those of `ingest_provider`."""
    # Before the days lose their marks: they are as they were closed.
    refuse_archived(months_of(database_url), window.days())
    if settings.credentialed(provider):
        ledger.begin_ingest(database_url, provider, window)
    result = ingest_provider(
        provider, window, settings=settings, database_url=database_url, as_of=as_of(), load_id=load_id_of(run_id)
    )
    if result.status == "ok":
        ledger.end_ingest(database_url, provider, window.days())
    return result


def _left_out(provider: str, spec: SourceSpec, window: Window, database_url: str) -> IngestResult:
    """Return what is known of a window that this run does not ask for: its checks speak of what is stored."""
    unanswered = ledger.days_not_ingested(database_url, provider, window)
    rejected = rejected_records(database_url, spec.tables, window)
    why = f"not asked in this run, and {len(unanswered)} of its days were never read" if unanswered else None
    tables = {table: TableResult(0, rejected.get(table, 0), 0, unanswered) for table in spec.tables}
    return IngestResult(provider, NOT_ASKED, why, "", tables)


def _seconds_since(started: float) -> float:
    return round(time.monotonic() - started, 3)


def report_of(result: IngestResult, keys: dict[str, dg.AssetKey], common: dict[str, Any]) -> AssetEvents:
    """Yield the events of each raw table's asset about an ingest; ``common`` is metadata of all of them."""
    for table, key in keys.items():
        outcome = result.tables.get(table)
        rejected = outcome.rejected if outcome else 0
        unanswered = [day.isoformat() for day in outcome.unanswered] if outcome else []
        yield dg.MaterializeResult(
            asset_key=key,
            metadata={
                **common,
                "status": result.status,
                "rows_read": outcome.rows if outcome else 0,
                "answered_units": outcome.answered if outcome else 0,
                "unchanged_units": outcome.unchanged if outcome else 0,
                "rejected_records": rejected,
            },
        )
        yield dg.AssetCheckResult(
            asset_key=key,
            check_name="answered",
            passed=result.status == "skipped" or not unanswered,
            severity=dg.AssetCheckSeverity.ERROR,
            metadata={"unanswered_days": unanswered, "reason": result.error or ""},
        )
        yield dg.AssetCheckResult(
            asset_key=key,
            check_name="no_rejected_records",
            passed=rejected == 0,
            severity=dg.AssetCheckSeverity.WARN,
            metadata={"rejected": rejected, "where": f"raw.rejected_records, table_name = '{table}'"},
        )


def build_all(partitions: dg.PartitionsDefinition) -> list[dg.AssetsDefinition]:
    """Return the directory's assets and every provider's."""
    return [
        build_directory_assets(partitions),
        *(build_ingest_assets(provider, spec, partitions) for provider, spec in PROVIDERS.items()),
    ]


def build_external_specs() -> list[dg.AssetSpec]:
    """Return what lies before `raw` in the lineage: the providers' endpoints and the directory."""
    endpoints = [
        dg.AssetSpec(
            [provider, table.removeprefix(f"{provider}_")],
            group_name=provider,
            kinds={provider},
            owners=OWNERS,
            description=with_runbook(f"{provider}'s own API.", Runbook.PROVIDERS),
        )
        for provider, spec in PROVIDERS.items()
        for table in spec.tables
    ]
    directory = dg.AssetSpec(
        ["directory", "tenants"],
        group_name="directory",
        kinds={"csv"},
        owners=OWNERS,
        description=with_runbook(
            "METERING_TENANT_DIRECTORY: tenants, their resources and their limits.", Runbook.DIRECTORY
        ),
    )
    return [*endpoints, directory]
