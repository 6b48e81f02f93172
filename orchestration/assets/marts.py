"""The dbt project as assets: the marts are built here, in one step; views and seeds before them are lineage.

Dagster's event log costs milliseconds per asset and partition, so what is a view (and has no rows of its own) is not
materialized partition by partition: it is an external asset that shows the way from raw to mart. Every data test of the
project is an asset check: on its own mart, or, for a test of a view, a seed or a source, on the marts' first table,
`marts.usage_daily`, which is the one that reads them. A build that fails reports what dbt came to all the same.
"""

from collections.abc import Iterator, Mapping, Sequence
from graphlib import TopologicalSorter
from typing import Any

import dagster as dg

from builds.build import BuildFailed, NodeResult, run_build
from builds.column_lineage import Lineage
from builds.dbt_manifest import parsed_project
from builds.figures import by_day, daily_relation
from builds.standing import Standing, note_standing
from costs.seeds import check_price_book
from ingestion.run import PROVIDERS
from orchestration.assets.ingestion import DIRECTORY_KEYS, SINGLE_RUN
from orchestration.assets.reporting import add_figures, raise_for_failed_providers
from orchestration.catalog.freshness import FRESH
from orchestration.failures import classified
from orchestration.options import RunOptions
from orchestration.partitions import window_of
from orchestration.resources import Warehouse
from orchestration.translator import asset_key, asset_specs
from usage_metering.clock import as_of

FIRST_MART = dg.AssetKey(["marts", "usage_daily"])
NOT_RUN = "not run: something that it reads was not built, see the failed check or the run's log"
RAW_TABLES = tuple(table for spec in PROVIDERS.values() for table in spec.tables)
# What dbt says of a model that is as it should be; one that was left alone because nothing changed is not among the results.
TAKEN_IN = ("success", "pass", None)
RAW_KEYS = [dg.AssetKey(["raw", table]) for table in RAW_TABLES]
READ_KEYS = [*DIRECTORY_KEYS, *RAW_KEYS]


def build_view_specs(lineage: Lineage | None = None) -> list[dg.AssetSpec]:
    """Return staging, intermediate and seeds as external assets: the lineage between raw and marts."""
    return asset_specs(parsed_project().data, lineage, of=lambda node: node["schema"] != "marts")


def _mart_specs(lineage: Lineage | None = None) -> list[dg.AssetSpec]:
    specs = asset_specs(parsed_project().data, lineage, of=lambda node: node["schema"] == "marts")
    return [spec.replace_attributes(freshness_policy=FRESH) for spec in specs]


def mart_keys() -> list[dg.AssetKey]:
    """Return the marts' keys, straight from the manifest: building specs for them alone would take most of a load's time."""
    return [
        asset_key(node)
        for _, node in sorted(parsed_project().data["nodes"].items())
        if node["resource_type"] == "model" and node["schema"] == "marts"
    ]


def test_checks(data: Mapping[str, Any], marts: Sequence[dg.AssetKey]) -> dict[str, dg.AssetCheckSpec]:
    """Return a check for every data test of the manifest (its ``data``), by the test's unique id."""
    nodes = data["nodes"]
    checks: dict[str, dg.AssetCheckSpec] = {}
    for unique_id, node in sorted(nodes.items()):
        if node["resource_type"] != "test":
            continue
        attached = nodes.get(node.get("attached_node") or "")
        key = asset_key(attached) if attached else FIRST_MART
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


def taken_in_checks() -> dict[str, dg.AssetCheckSpec]:
    """Return, by raw table, the check that a build has read it.

    A step follows the steps whose assets it checks, so this is also the order of a run: lineage between raw and marts runs
    through views, which no step makes.
    """
    return {
        key.path[-1]: dg.AssetCheckSpec(
            "taken_in", asset=key, description="The build's models of this table were made."
        )
        for key in READ_KEYS
    }


def readers_of_tables(data: Mapping[str, Any]) -> dict[str, list[str]]:
    """Return the models that read each raw table, from the manifest's ``data``: unique ids by table."""
    readers: dict[str, list[str]] = {}
    for unique_id, node in sorted(data["nodes"].items()):
        if node["resource_type"] == "model":
            for parent in node["depends_on"]["nodes"]:
                source = data["sources"].get(parent)
                if source and source["schema"] == "raw":
                    readers.setdefault(source["identifier"], []).append(unique_id)
    return readers


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
    described = ", ".join(f"{name}: {_listed(value)}" for name, value in arguments.items())
    tested = node.get("attached_node") or ""
    return f"{macro.get('description') or generic['name']} ({tested.rpartition('.')[2]}; {described})"


def _listed(value: Any) -> str:
    return ", ".join(str(item) for item in value) if isinstance(value, list) else str(value)


def build_mart_assets(partitions: dg.PartitionsDefinition, lineage: Lineage | None = None) -> dg.AssetsDefinition:
    """Return the marts as one multi-asset whose checks are the project's data tests."""
    specs = _mart_specs(lineage)
    keys = {spec.key for spec in specs}
    data = parsed_project().data
    checks = test_checks(data, [spec.key for spec in specs])
    taken_in = taken_in_checks()
    readers = readers_of_tables(data)
    models = {
        unique_id: node
        for unique_id, node in data["nodes"].items()
        if node["resource_type"] == "model" and asset_key(node) in keys
    }
    # Dagster takes what a step has made only in the order of its lineage.
    unique_ids = {asset_key(node): unique_id for unique_id, node in models.items()}
    sorter = TopologicalSorter({spec.key: {dep.asset_key for dep in spec.deps} & keys for spec in specs})
    in_order = {key: unique_ids[key] for key in sorter.static_order()}
    daily = {
        unique_id: relation
        for unique_id, node in models.items()
        if (relation := daily_relation(node["schema"], node["alias"], node["columns"]))
    }

    @dg.multi_asset(
        name="build_marts",
        specs=[spec.merge_attributes(deps=READ_KEYS) for spec in specs],
        check_specs=[*checks.values(), *taken_in.values()],
        # Those of raw tables are what puts this step after the steps that fill them.
        allow_arbitrary_check_specs=True,
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
        if not context.selected_asset_keys:
            context.log.info("no mart is chosen: nothing is built")
            return
        if not options.builds:
            with classified():
                raise_for_failed_providers(warehouse.url, context.run.run_id)
            context.log.info("this run builds nothing (option steps: ingest): the marts stay as they are")
            return
        failure: BuildFailed | None = None
        with classified():
            # Before anything is built, as before anything is read: a wrong price must not be found half-way.
            check_price_book()
            now, build_id = as_of(), context.run.run_id
            standing = None
            if options.only_changes:
                standing = note_standing(
                    warehouse.url, window, as_of=now, build_id=build_id, tables=RAW_TABLES, data=data
                )
            results: Sequence[NodeResult] = ()
            if standing is not None:
                context.log.info(str(standing))
            else:
                try:
                    results = run_build(
                        warehouse.url,
                        window,
                        as_of=now,
                        build_id=build_id,
                        tables=RAW_TABLES,
                        failing_rows=options.failing_rows,
                    )
                except BuildFailed as error:
                    # What was built stays built, and a red test must be found at its asset, not only in the run's log.
                    results, failure = error.results, error
            written = {node.unique_id for node in results if node.status == "success"}
            figures = by_day(warehouse.url, {key: daily[key] for key in daily.keys() & written}, window)
        window_text = f"[{window.start}, {window.end})"
        built = {node.unique_id: node for node in results}
        status = {unique_id: node.status for unique_id, node in built.items()}
        for key, unique_id in in_order.items():
            if key not in context.selected_asset_keys:
                continue
            if unique_id in written:
                add_figures(context, key, figures.get(unique_id, {}))
                yield dg.MaterializeResult(asset_key=key, metadata=_metadata(built[unique_id], window_text))
            elif unique_id not in status and failure is None:
                # A view that only code changes is left out of the build while its code is the same, and every mart where nothing has
                # changed. For Dagster the run owes it.
                yield dg.MaterializeResult(asset_key=key, metadata={"window": window_text, **_unchanged(standing)})
        for table, spec in taken_in.items():
            if spec.key in context.selected_asset_check_keys:
                missing = [reader for reader in readers.get(table, ()) if status.get(reader) not in TAKEN_IN]
                yield _taken_in_result(spec, missing)
        for node in results:
            check = checks.get(node.unique_id)
            if check and check.key in context.selected_asset_check_keys:
                yield _check_result(node, check)
        if failure is not None:
            with classified():
                raise failure

    return _with_lineage(build_marts, specs)


def _with_lineage(step: dg.AssetsDefinition, specs: Sequence[dg.AssetSpec]) -> dg.AssetsDefinition:
    """Return the step with the specs' own lineage, its inputs as they are.

    Dagster makes a step's inputs of its assets' lineage alone, and follows an input where an asset or a check is about it.
    `map_asset_specs` would take the inputs away with the lineage.
    """
    lineage = {spec.key: spec.deps for spec in specs}
    own = [spec.replace_attributes(deps=lineage[spec.key]) for spec in step.specs]
    return dg.AssetsDefinition.dagster_internal_init(**{**step.get_attributes_dict(), "specs": own})


def _metadata(node: NodeResult, window: str) -> dict[str, Any]:
    metadata: dict[str, Any] = {"window": window, "duration_seconds": round(node.seconds, 3)}
    if node.rows is not None:
        metadata["rows_written"] = node.rows
    return metadata


def _unchanged(standing: Standing | None) -> dict[str, Any]:
    if standing is None:
        return {"unchanged": True}
    return {
        "unchanged": True,
        "unchanged_since": dg.MetadataValue.timestamp(standing.since),
        "made_by_run": dg.MetadataValue.dagster_run(standing.build_id),
    }


def _taken_in_result(spec: dg.AssetCheckSpec, missing: Sequence[str]) -> dg.AssetCheckResult:
    return dg.AssetCheckResult(
        asset_key=spec.asset_key,
        check_name=spec.name,
        passed=not missing,
        severity=dg.AssetCheckSeverity.WARN,
        metadata={"not_made": [unique_id.rpartition(".")[2] for unique_id in missing]},
    )


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
