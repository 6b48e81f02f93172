"""What the UI's catalog knows of each asset: it comes from dbt's docs and from ingestion's factory, and must be there."""

from __future__ import annotations

from pathlib import Path

import dagster as dg
import psycopg
import pytest

from builds.dbt_manifest import parsed_project
from ingestion.run import PROVIDERS
from orchestration.automation.jobs import REBUILD
from orchestration.catalog.freshness import FRESH
from orchestration.catalog.runbooks import ROOT, Runbook
from orchestration.definitions import build_definitions
from orchestration.options import RunOptions, Steps, default_config
from orchestration.translator import owners

MARTS = "marts"


@pytest.fixture
def definitions(database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dg.Definitions:
    monkeypatch.setenv("METERING_DATABASE_URL", database)
    monkeypatch.setenv("METERING_START_DATE", "2026-10-01")
    monkeypatch.setenv("METERING_AS_OF", "2026-11-21")
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
    return build_definitions()


def test_every_asset_says_whose_it_is_and_what_to_do(definitions: dg.Definitions) -> None:
    graph = definitions.resolve_asset_graph()
    for key in graph.get_all_asset_keys():
        node = graph.get(key)
        if key.path[0] in ("raw", "ops", "before") and not node.is_materializable:
            continue  # parents that dbt knows, and that no step of ours writes
        assert node.owners, key
        assert node.kinds, key
        assert node.group_name != "default", key
        assert "docs/runbooks/" in (node.description or ""), key
    for key in graph.executable_asset_keys:
        node = graph.get(key)
        assert node.freshness_policy_or_from_metadata == FRESH, key
        assert str(node.metadata["runbook"].value).startswith("# "), key
        assert (ROOT / str(node.metadata["runbook_path"].value)).is_file(), key


def test_an_assets_owner_is_the_one_that_its_model_names() -> None:
    for owner, shown in (("data", "team:data"), ("someone@example.com", "someone@example.com")):
        assert owners({"meta": {"owner": owner}}) == [shown]


def test_every_mart_and_view_has_its_columns(definitions: dg.Definitions) -> None:
    graph = definitions.resolve_asset_graph()
    for node in parsed_project().data["nodes"].values():
        if node["resource_type"] not in ("model", "seed") or node["config"]["materialized"] == "ephemeral":
            continue
        schema = graph.get(dg.AssetKey([node["schema"], node["alias"]])).metadata["dagster/column_schema"]
        assert isinstance(schema, dg.TableSchema)
        assert [column.name for column in schema.columns] == list(node["columns"])
        assert all(column.description for column in schema.columns), node["name"]


def test_raw_columns_are_those_of_the_tables(definitions: dg.Definitions, database: str) -> None:
    """The migrations make the tables; dbt's sources describe them."""
    with psycopg.connect(database) as connection:
        stored: dict[str, list[str]] = {}
        for table, column in connection.execute(
            "select table_name, column_name from information_schema.columns where table_schema = 'raw'"
            " order by table_name, ordinal_position"
        ):
            stored.setdefault(table, []).append(column)
    described = {
        source["identifier"]: list(source["columns"])
        for source in parsed_project().data["sources"].values()
        if source["schema"] == "raw" and source["columns"]
    }
    assert {"twilio_messages", "openai_costs", "sendgrid_stats", "tenants", "usage_events"} <= described.keys()
    for table, columns in described.items():
        # `usage_date` of events is generated, and dbt reads it as any other.
        assert [name for name in stored[table] if name in columns or name != "usage_date"] == columns, table


def test_the_launchpad_opens_with_every_choice_and_they_are_the_defaults(definitions: dg.Definitions) -> None:
    choices = {
        "steps": "everything",
        "sources": dict.fromkeys(PROVIDERS, True),
        "only_changes": False,
        "failing_rows": 20,
    }
    assert default_config()["resources"]["options"]["config"] == choices
    filled = dg.validate_run_config(definitions.resolve_job_def(REBUILD), {})
    assert filled["resources"]["options"]["config"] == choices
    options = RunOptions()
    assert options.steps is Steps.everything
    assert options.builds
    assert all(options.reads(provider) for provider in PROVIDERS)


@pytest.mark.parametrize(
    ("steps", "reads", "builds"), [("everything", True, True), ("ingest", True, False), ("build", False, True)]
)
def test_steps_choose_what_a_run_does(steps: str, reads: bool, builds: bool) -> None:
    options = RunOptions(steps=Steps(steps))
    assert (options.reads("twilio"), options.builds) == (reads, builds)


def test_a_wrong_choice_is_refused_before_anything_runs(definitions: dg.Definitions) -> None:
    job = definitions.resolve_job_def(REBUILD)
    for wrong in ({"sources": {"twlio": False}}, {"steps": "nothing"}, {"failing_rows": "many"}):
        with pytest.raises(dg.DagsterInvalidConfigError):
            dg.validate_run_config(job, {"resources": {"options": {"config": wrong}}})


def test_every_runbook_is_one_that_is_there() -> None:
    for runbook in Runbook:
        assert (ROOT / runbook.path).read_text().startswith("# ")
