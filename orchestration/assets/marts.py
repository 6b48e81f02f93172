"""The dbt project as assets: the marts are built here, in one step; views and seeds before them are lineage.

Dagster's event log costs milliseconds per asset and partition, so what is a view (and has no rows of its own) is not
materialized partition by partition: it is an external asset that shows the way from raw to mart. Every data test of the
project is an asset check: on its own mart, or, for a test of a view, a seed or a source, on the marts' first table,
`marts.usage_daily`, which is the one that reads them.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import dagster as dg
from dagster_dbt import build_dbt_asset_specs

from ingestion.run import PROVIDERS
from ingestion.windows import as_of
from orchestration.assets.ingestion import DIRECTORY_KEYS, SINGLE_RUN
from orchestration.build import NodeResult, run_build
from orchestration.dbt_manifest import parsed_project
from orchestration.failures import classified
from orchestration.partitions import window_of
from orchestration.resources import Warehouse
from orchestration.translator import Translator

FIRST_MART = dg.AssetKey(["marts", "usage_daily"])
RAW_TABLES = tuple(table for spec in PROVIDERS.values() for table in spec.tables)
RAW_KEYS = [dg.AssetKey(["raw", table]) for table in RAW_TABLES]


def build_view_specs() -> list[dg.AssetSpec]:
    """Return staging, intermediate and seeds as external assets: the lineage between raw and marts."""
    return list(
        build_dbt_asset_specs(
            manifest=parsed_project().data, dagster_dbt_translator=Translator(), exclude="config.schema:marts"
        )
    )


def _mart_specs() -> list[dg.AssetSpec]:
    specs = build_dbt_asset_specs(
        manifest=parsed_project().data, dagster_dbt_translator=Translator(), select="config.schema:marts"
    )
    # Lineage runs through the views. The order of steps in a run needs an edge from raw as well, and the same one for
    # every mart: a backfill must derive the same partitions for all that one step builds.
    return [spec.merge_attributes(deps=[*RAW_KEYS, *DIRECTORY_KEYS], kinds={"dbt", "postgres"}) for spec in specs]


def mart_keys() -> list[dg.AssetKey]:
    """Return the marts' keys."""
    return [spec.key for spec in _mart_specs()]


def test_checks(nodes: Mapping[str, Mapping[str, Any]], marts: Sequence[dg.AssetKey]) -> dict[str, dg.AssetCheckSpec]:
    """Return a check for every data test of the manifest, by the test's unique id."""
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
            description=node.get("description") or f"dbt test {node['name']}",
            metadata={"dbt_test": unique_id},
        )
    return checks


def build_mart_assets(partitions: dg.PartitionsDefinition) -> dg.AssetsDefinition:
    """Return the marts as one multi-asset whose checks are the project's data tests."""
    specs = _mart_specs()
    keys = {spec.key for spec in specs}
    nodes = parsed_project().data["nodes"]
    checks = test_checks(nodes, [spec.key for spec in specs])
    unique_ids = {
        unique_id: Translator().get_asset_key(node)
        for unique_id, node in nodes.items()
        if node["resource_type"] == "model"
    }

    @dg.multi_asset(
        name="build_marts",
        specs=specs,
        check_specs=list(checks.values()),
        partitions_def=partitions,
        backfill_policy=SINGLE_RUN,
    )
    def build_marts(
        context: dg.AssetExecutionContext, warehouse: Warehouse
    ) -> Iterator[dg.MaterializeResult[None] | dg.AssetCheckResult]:
        window = window_of(context)
        with classified():
            results = run_build(warehouse.url, window, as_of=as_of(), build_id=context.run.run_id, tables=RAW_TABLES)
        window_text = f"[{window.start}, {window.end})"
        for node in results:
            if (key := unique_ids.get(node.unique_id)) in keys:
                yield dg.MaterializeResult(asset_key=key, metadata=_metadata(node, window_text))
        for node in results:
            if check := checks.get(node.unique_id):
                yield _check_result(node, check)

    return build_marts


def _metadata(node: NodeResult, window: str) -> dict[str, Any]:
    metadata: dict[str, Any] = {"window": window, "seconds": round(node.seconds, 3)}
    if node.rows is not None:
        metadata["rows_written"] = node.rows
    return metadata


def _check_result(node: NodeResult, check: dg.AssetCheckSpec) -> dg.AssetCheckResult:
    return dg.AssetCheckResult(
        asset_key=check.asset_key,
        check_name=check.name,
        passed=node.status == "pass",
        severity=dg.AssetCheckSeverity.WARN if node.status == "warn" else dg.AssetCheckSeverity.ERROR,
        metadata={"failures": node.failures or 0, "message": node.message},
    )
