"""What the UI draws is what dbt reads; the order of a run comes from its steps' inputs, not from lineage."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import dagster as dg
import pytest

from builds.dbt_manifest import parsed_project
from ingestion.run import PROVIDERS
from orchestration.assets.marts import READ_KEYS, readers_of_tables
from orchestration.automation.jobs import REBUILD, ingest_only_keys
from orchestration.definitions import build_definitions
from orchestration.translator import asset_key

INGEST = {f"ingest_{provider}" for provider in PROVIDERS}


@pytest.fixture(scope="module")
def definitions() -> Iterator[dg.Definitions]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("METERING_START_DATE", "2026-10-01")
        patch.setenv("METERING_AS_OF", "2026-11-21")
        yield build_definitions()


def test_each_model_is_downstream_of_what_it_reads_alone(definitions: dg.Definitions) -> None:
    graph = definitions.resolve_asset_graph()
    data = parsed_project().data
    nodes = {**data["nodes"], **data["sources"]}
    key_of = asset_key

    def read_by(node: Mapping[str, Any]) -> set[dg.AssetKey]:
        """What a node reads, through ephemeral models, which are no assets: they are part of what reads them."""
        parents = [nodes[parent] for parent in node["depends_on"]["nodes"] if parent in nodes]
        ephemeral = [parent for parent in parents if parent.get("config", {}).get("materialized") == "ephemeral"]
        direct = {key_of(parent) for parent in parents if parent not in ephemeral}
        return direct.union(*map(read_by, ephemeral))

    models = [node for node in data["nodes"].values() if node["resource_type"] == "model" and graph.has(key_of(node))]
    assert len(models) > 20
    for node in models:
        assert set(graph.get(key_of(node)).parent_keys) == read_by(node), node["name"]


def test_a_raw_table_is_upstream_of_the_models_that_read_it_alone(definitions: dg.Definitions) -> None:
    graph = definitions.resolve_asset_graph()
    data = parsed_project().data
    readers = readers_of_tables(data)
    for key in READ_KEYS:
        models = {asset_key(data["nodes"][reader]) for reader in readers[key.path[-1]]}
        # Ingestion reads whose a subaccount, subuser, category or account is.
        others = set(READ_KEYS) if key.path[-1] == "tenant_resources" else set()
        assert models <= set(graph.get(key).child_keys) <= models | others, key


def test_what_a_step_makes_has_the_days_of_the_run(definitions: dg.Definitions) -> None:
    graph = definitions.resolve_asset_graph()
    assert {key for key in graph.executable_asset_keys if graph.get(key).partitions_def is None} == set()


def steps_before(job: dg.JobDefinition, step: str) -> set[str]:
    """Return the steps that a step waits for, by way of others too."""
    waits = {
        invocation.name: {
            dependency.node for dependency in inputs.values() if isinstance(dependency, dg.DependencyDefinition)
        }
        for invocation, inputs in job.graph.dependencies.items()
    }
    before: set[str] = set()
    ahead = {step}
    while ahead:
        ahead = {name for one in ahead for name in waits.get(one, ())} - before
        before |= ahead
    return before


def test_a_run_reads_then_builds_then_tells(definitions: dg.Definitions) -> None:
    job = definitions.resolve_job_def(REBUILD)
    assert steps_before(job, "build_marts") == {"tenant_directory"} | INGEST
    for last in ("usage_alerts", "usage_forecasts", "source_days"):
        assert steps_before(job, last) == {"tenant_directory", "build_marts"} | INGEST


def test_a_run_of_some_assets_keeps_the_order(definitions: dg.Definitions) -> None:
    keys = {dg.AssetKey(["raw", table]) for table in PROVIDERS["twilio"].tables} | {
        dg.AssetKey(["marts", "usage_daily"])
    }
    job = definitions.resolve_job_def(REBUILD).get_subset(asset_selection=frozenset(keys))
    assert steps_before(job, "build_marts") == {"ingest_twilio"}


def test_the_record_of_days_is_last_without_a_build(definitions: dg.Definitions) -> None:
    job = definitions.resolve_job_def(REBUILD).get_subset(asset_selection=frozenset(ingest_only_keys()))
    priorities = {node.name: int(node.tags.get("dagster/priority", 0)) for node in job.graph.nodes}
    assert min(priorities, key=priorities.__getitem__) == "source_days"
