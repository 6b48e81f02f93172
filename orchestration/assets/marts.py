"""The dbt project as assets: the marts are built here, in one step; views and seeds before them are lineage.

Dagster's event log costs milliseconds per asset and partition, so what is a view (and has no rows of its own) is not
materialized partition by partition: it is an external asset that shows the way from raw to mart. Every data test of the
project is an asset check: on its own mart, or, for a test of a view, a seed or a source, on the marts' first table,
`marts.usage_daily`, which is the one that reads them. A build that fails reports what dbt came to all the same.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import dagster as dg
from dagster_dbt import build_dbt_asset_specs

from builds.build import BuildFailed, NodeResult, run_build
from builds.column_lineage import Lineage
from builds.dbt_manifest import parsed_project
from builds.figures import by_day, daily_relation
from costs.seeds import check_price_book
from ingestion.run import PROVIDERS
from orchestration.assets.ingestion import DIRECTORY_KEYS, SINGLE_RUN
from orchestration.assets.reporting import add_figures, raise_for_failed_providers
from orchestration.catalog.freshness import FRESH
from orchestration.failures import classified
from orchestration.options import RunOptions
from orchestration.partitions import window_of
from orchestration.resources import Warehouse
from orchestration.translator import Translator
from usage_metering.clock import as_of

FIRST_MART = dg.AssetKey(["marts", "usage_daily"])
NOT_RUN = "not run: something that it reads was not built, see the failed check or the run's log"
RAW_TABLES = tuple(table for spec in PROVIDERS.values() for table in spec.tables)
RAW_KEYS = [dg.AssetKey(["raw", table]) for table in RAW_TABLES]


def build_view_specs(lineage: Lineage | None = None) -> list[dg.AssetSpec]:
    """Return staging, intermediate and seeds as external assets: the lineage between raw and marts."""
    specs = build_dbt_asset_specs(
        manifest=parsed_project().data, dagster_dbt_translator=Translator(lineage), exclude="config.schema:marts"
    )
    return [spec.merge_attributes(kinds={"dbt", "postgres"}) for spec in specs]


def _mart_specs(lineage: Lineage | None = None) -> list[dg.AssetSpec]:
    specs = build_dbt_asset_specs(
        manifest=parsed_project().data, dagster_dbt_translator=Translator(lineage), select="config.schema:marts"
    )
    # Lineage runs through the views. The order of steps in a run needs an edge from raw as well, and the same one for
    # every mart: a backfill must derive the same partitions for all that one step builds.
    return [
        spec.merge_attributes(deps=[*RAW_KEYS, *DIRECTORY_KEYS], kinds={"dbt", "postgres"}).replace_attributes(
            freshness_policy=FRESH
        )
        for spec in specs
    ]


def mart_keys() -> list[dg.AssetKey]:
    """Return the marts' keys, straight from the manifest: building specs for them alone would take most of a load's time."""
    translator = Translator()
    return [
        translator.get_asset_key(node)
        for _, node in sorted(parsed_project().data["nodes"].items())
        if node["resource_type"] == "model" and node["schema"] == "marts"
    ]


def test_checks(data: Mapping[str, Any], marts: Sequence[dg.AssetKey]) -> dict[str, dg.AssetCheckSpec]:
    """Return a check for every data test of the manifest (its ``data``), by the test's unique id."""
    nodes = data["nodes"]
    translator = Translator()
    checks: dict[str, dg.AssetCheckSpec] = {}
    for unique_id, node in sorted(nodes.items()):
        if node["resource_type"] != "test":
            continue
        attached = nodes.get(node.get("attached_node") or "")
        key = translator.get_asset_key(attached) if attached else FIRST_MART
        checks[unique_id] = dg.AssetCheckSpec(
            name=node["name"],
            asset=key if key in marts else FIRST_MART,
            description=_what_it_tests(node, data["macros"]),
            metadata={
                "dbt_test": unique_id,
                "dbt_file": dg.MetadataValue.path(f"dbt_project/{node['original_file_path']}"),
            },
        )
    return checks


def _what_it_tests(node: Mapping[str, Any], macros: Mapping[str, Mapping[str, Any]]) -> str:
    """Return what a test is about: its own description, its first comment, or that of the generic test, and its subject."""
    if node.get("description"):
        return str(node["description"])
    generic = node.get("test_metadata")
    if not generic:
        first = node["raw_code"].strip().splitlines()[0]
        return first.removeprefix("--").strip() if first.startswith("--") else f"dbt test {node['name']}"
    macro = macros.get(f"macro.{node['package_name']}.test_{generic['name']}", {})
    arguments = {name: value for name, value in generic["kwargs"].items() if name != "model"}
    said = ", ".join(f"{name}: {_listed(value)}" for name, value in arguments.items())
    tested = node.get("attached_node") or ""
    return f"{macro.get('description') or generic['name']} ({tested.rpartition('.')[2]}; {said})"


def _listed(value: Any) -> str:
    return ", ".join(str(item) for item in value) if isinstance(value, list) else str(value)


def build_mart_assets(partitions: dg.PartitionsDefinition, lineage: Lineage | None = None) -> dg.AssetsDefinition:
    """Return the marts as one multi-asset whose checks are the project's data tests."""
    specs = _mart_specs(lineage)
    keys = {spec.key for spec in specs}
    data = parsed_project().data
    checks = test_checks(data, [spec.key for spec in specs])
    models = {
        unique_id: node
        for unique_id, node in data["nodes"].items()
        if node["resource_type"] == "model" and Translator().get_asset_key(node) in keys
    }
    daily = {
        unique_id: relation
        for unique_id, node in models.items()
        if (relation := daily_relation(node["schema"], node["alias"], node["columns"]))
    }

    @dg.multi_asset(
        name="build_marts",
        specs=specs,
        check_specs=list(checks.values()),
        partitions_def=partitions,
        backfill_policy=SINGLE_RUN,
        # Only so may a step report nothing (a run that only ingests) or not everything (a build that failed half-way).
        # dbt builds all marts in any case: what is left out of a selection is built as well, and not reported.
        can_subset=True,
    )
    def build_marts(
        context: dg.AssetExecutionContext, warehouse: Warehouse, options: RunOptions
    ) -> Iterator[dg.MaterializeResult[None] | dg.AssetCheckResult]:
        window = window_of(context)
        if not options.builds:
            with classified():
                raise_for_failed_providers(warehouse.url, context.run.run_id)
            context.log.info("this run builds nothing (option steps: ingest): the marts stay as they are")
            return
        failure: BuildFailed | None = None
        with classified():
            # Before anything is built, as before anything is read: a wrong price must not be found half-way.
            check_price_book()
            try:
                results: Sequence[NodeResult] = run_build(
                    warehouse.url,
                    window,
                    as_of=as_of(),
                    build_id=context.run.run_id,
                    tables=RAW_TABLES,
                    failing_rows=options.failing_rows,
                )
            except BuildFailed as error:
                # What was built stays built, and a red test must be found at its asset, not only in the run's log.
                results, failure = error.results, error
            written = {node.unique_id for node in results if node.status == "success"}
            figures = by_day(warehouse.url, {key: daily[key] for key in daily.keys() & written}, window)
        window_text = f"[{window.start}, {window.end})"
        for node in results:
            if node.unique_id in models and node.unique_id in written:
                key = Translator().get_asset_key(models[node.unique_id])
                if key in context.selected_asset_keys:
                    add_figures(context, key, figures.get(node.unique_id, {}))
                    yield dg.MaterializeResult(asset_key=key, metadata=_metadata(node, window_text))
        for node in results:
            check = checks.get(node.unique_id)
            if check and check.key in context.selected_asset_check_keys:
                yield _check_result(node, check)
        if failure is not None:
            with classified():
                raise failure

    return build_marts


def _metadata(node: NodeResult, window: str) -> dict[str, Any]:
    metadata: dict[str, Any] = {"window": window, "duration_seconds": round(node.seconds, 3)}
    if node.rows is not None:
        metadata["rows_written"] = node.rows
    return metadata


def _check_result(node: NodeResult, check: dg.AssetCheckSpec) -> dg.AssetCheckResult:
    # Without a word of ours the UI would show what was not run as failed, and the one real failure among dozens.
    not_run = node.status == "skipped"
    metadata: dict[str, Any] = {"message": NOT_RUN} if not_run else {"failures": node.failures or 0}
    if node.message and not not_run:
        metadata["message"] = node.message
    if node.sample is not None:
        metadata["failing_rows"] = dg.MetadataValue.md(node.sample.markdown())
    if node.query is not None:
        metadata["query"] = dg.MetadataValue.md(f"```sql\n{node.query.strip()}\n```")
    return dg.AssetCheckResult(
        asset_key=check.asset_key,
        check_name=check.name,
        passed=node.status == "pass",
        severity=dg.AssetCheckSeverity.WARN if not_run or node.status == "warn" else dg.AssetCheckSeverity.ERROR,
        metadata=metadata,
    )
