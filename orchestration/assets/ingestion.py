"""One multi-asset per provider, all made by `build_ingest_assets`, and one for the tenant directory."""

import csv
from collections.abc import Iterator

import dagster as dg

from ingestion.directory import load_directory
from ingestion.run import PROVIDERS, IngestResult, ingest_provider
from ingestion.sources.reading import SourceSpec
from ingestion.windows import as_of
from orchestration import ledger
from orchestration.dbt_manifest import project_folder
from orchestration.failures import classified
from orchestration.partitions import window_of
from orchestration.resources import Providers, Warehouse

DIRECTORY_TABLES = ("tenants", "tenant_resources", "tenant_limits")
DIRECTORY_KEYS = [dg.AssetKey(["raw", table]) for table in DIRECTORY_TABLES]
OWNERS = ["team:data"]
SINGLE_RUN = dg.BackfillPolicy.single_run()

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
                description=f"The directory's {table}.csv (or table of that name), with its history. Loaded whole.",
            )
            for key, table in zip(DIRECTORY_KEYS, DIRECTORY_TABLES, strict=True)
        ],
        partitions_def=partitions,
        backfill_policy=SINGLE_RUN,
    )
    def tenant_directory(warehouse: Warehouse, providers: Providers) -> AssetEvents:
        with classified():
            loaded = load_directory(
                settings=providers.settings(),
                database_url=warehouse.url,
                as_of=as_of(),
                known_plans=known_plans(),
            )
        counts = (loaded.tenants, loaded.resources, loaded.limits)
        for key, rows in zip(DIRECTORY_KEYS, counts, strict=True):
            yield dg.MaterializeResult(asset_key=key, metadata={"dagster/row_count": rows})

    return tenant_directory


def build_ingest_assets(provider: str, spec: SourceSpec, partitions: dg.PartitionsDefinition) -> dg.AssetsDefinition:
    """Return one provider's raw tables as assets, each with a check that the provider answered for every day.

    A provider that fails does not fail its step: the others and the build go on with what is there. Its check is red,
    and the run's last step (`ops/source_days`) fails, naming it.
    """
    keys = {table: dg.AssetKey(["raw", table]) for table in spec.tables}

    @dg.multi_asset(
        name=f"ingest_{provider}",
        specs=[
            dg.AssetSpec(
                key,
                deps=[dg.AssetKey([provider, table.removeprefix(f"{provider}_")]), *DIRECTORY_KEYS],
                group_name=provider,
                kinds={"dlt", "postgres", provider},
                owners=OWNERS,
                description=f"{provider}'s {table.removeprefix(f'{provider}_').replace('_', ' ')}, as the provider says them, "
                "replaced by whole days: table × account × UTC day.",
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
    def ingest(context: dg.AssetExecutionContext, warehouse: Warehouse, providers: Providers) -> AssetEvents:
        window = window_of(context)
        with classified():
            settings = providers.settings()
            if settings.credentialed(provider):
                ledger.begin_ingest(warehouse.url, provider, window)
            result = ingest_provider(
                provider,
                window,
                settings=settings,
                database_url=warehouse.url,
                as_of=as_of(),
                load_id=load_id_of(context.run.run_id),
            )
            if result.status == "ok":
                ledger.end_ingest(warehouse.url, provider, window.days())
                ledger.unmark_built(warehouse.url, provider, result.moved_days)
        yield from _report(result, keys, {"window": f"[{window.start}, {window.end})"})

    return ingest


def load_id_of(run_id: str) -> str:
    """Return the load id under which a Dagster run's ingests are recorded."""
    return run_id.replace("-", "")[:16]


def _report(result: IngestResult, keys: dict[str, dg.AssetKey], metadata: dict[str, str]) -> AssetEvents:
    for table, key in keys.items():
        outcome = result.tables.get(table)
        rows = outcome.rows if outcome else 0
        rejected = outcome.rejected if outcome else 0
        unanswered = [day.isoformat() for day in outcome.unanswered] if outcome else []
        yield dg.MaterializeResult(
            asset_key=key,
            metadata={
                **metadata,
                "status": result.status,
                "dagster/row_count": rows,
                "answered_units": outcome.answered if outcome else 0,
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
            description=f"{provider}'s own API.",
        )
        for provider, spec in PROVIDERS.items()
        for table in spec.tables
    ]
    directory = dg.AssetSpec(
        ["directory", "tenants"],
        group_name="directory",
        kinds={"csv"},
        description="METERING_TENANT_DIRECTORY.",
    )
    return [*endpoints, directory]
