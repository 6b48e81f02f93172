"""What Dagster is told of a dbt project, from its manifest alone."""

from __future__ import annotations

from typing import Any

import dagster as dg

from orchestration.translator import asset_specs

SOURCE = {
    "resource_type": "source",
    "source_name": "raw",
    "schema": "raw",
    "name": "calls",
    "identifier": "twilio_calls",
}


def node(
    name: str, schema: str, *parents: str, resource_type: str = "model", materialized: str = "table"
) -> dict[str, Any]:
    return {
        "resource_type": resource_type,
        "name": name,
        "schema": schema,
        "alias": name,
        "config": {"materialized": materialized},
        "depends_on": {"nodes": list(parents)},
        "description": f"What {name} is.",
        "original_file_path": f"models/{name}.sql",
        "raw_code": f"select {name}",
        "columns": {},
    }


DATA = {
    "sources": {"source.p.raw.calls": SOURCE},
    "nodes": {
        "model.p.cleaned": node("cleaned", "staging", "source.p.raw.calls", materialized="ephemeral"),
        "seed.p.prices": {**node("prices", "staging", resource_type="seed", materialized="seed"), "depends_on": {}},
        "model.p.daily": node("daily", "marts", "model.p.cleaned", "seed.p.prices"),
        "model.p.monthly": node("monthly", "marts", "model.p.daily", "model.p.cleaned"),
        "test.p.daily_adds_up": node("daily_adds_up", "tests", "model.p.daily", resource_type="test"),
    },
}


def test_an_ephemeral_model_stands_for_what_it_reads() -> None:
    specs = {spec.key.to_user_string(): spec for spec in asset_specs(DATA)}
    assert specs.keys() == {"staging/prices", "marts/daily", "marts/monthly"}
    read = {key: {dep.asset_key.to_user_string() for dep in spec.deps} for key, spec in specs.items()}
    assert read["marts/daily"] == {"raw/twilio_calls", "staging/prices"}
    assert read["marts/monthly"] == {"raw/twilio_calls", "marts/daily"}
    assert read["staging/prices"] == set()


def test_an_asset_says_what_it_is() -> None:
    (daily,) = asset_specs(DATA, of=lambda node: node["name"] == "daily")
    assert daily.group_name == "marts"
    assert daily.kinds == {"dbt", "postgres"}
    assert daily.owners == ["team:data"]
    assert (daily.description or "").startswith("What daily is.")
    assert daily.metadata["dagster/table_name"] == "marts.daily"
    assert daily.skippable
    changed = {**DATA["nodes"]["model.p.daily"], "raw_code": "select something else"}
    (other,) = asset_specs(
        {**DATA, "nodes": {**DATA["nodes"], "model.p.daily": changed}}, of=lambda node: node["name"] == "daily"
    )
    assert other.code_version != daily.code_version
    assert daily.key == dg.AssetKey(["marts", "daily"])
