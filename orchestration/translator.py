"""How a dbt node looks in Dagster: key = [schema, table], group = layer; columns, their origin, owners and runbook from dbt's docs.

Made from the manifest's data and not by dagster-dbt, which imports dbt: two seconds of CPU time in each process that loads the code
location, each run among them, and most of them never run dbt.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from typing import Any

import dagster as dg

from builds.column_lineage import Lineage, relation_of
from orchestration.catalog.columns import table_schema
from orchestration.catalog.runbooks import Runbook, runbook_metadata, with_runbook

TEAM = "data"
KINDS = frozenset({"dbt", "postgres"})
ASSETS = ("model", "seed", "snapshot")

Node = Mapping[str, Any]


def asset_key(node: Node) -> dg.AssetKey:
    """Return the key of a node of the manifest, or of a source: a mart as it was before the build is no upstream of itself."""
    if node["resource_type"] == "source":
        return dg.AssetKey([node["source_name"], node["identifier"]])
    return dg.AssetKey([node["schema"], node["alias"]])


def owners(node: Node) -> list[str]:
    """Return who is asked about a node: ``meta.owner``, an address or a team, else the usual team."""
    owner = str((node.get("meta") or {}).get("owner") or TEAM)
    return [owner if "@" in owner else f"team:{owner}"]


def asset_specs(
    data: Mapping[str, Any], lineage: Lineage | None = None, *, of: Callable[[Node], bool] = lambda node: True
) -> list[dg.AssetSpec]:
    """Return an asset for each model and seed of the manifest's ``data``, but for ephemeral models, by unique id.

    Args:
        lineage: where columns come from; see `builds.column_lineage`.
        of: which nodes are wanted.
    """
    return [
        dg.AssetSpec(
            asset_key(node),
            deps=[
                dg.AssetDep(key, metadata={"dagster/storage_kind": "postgres"} if is_source else None)
                for key, is_source in _parents(data, node)
            ],
            description=with_runbook(node.get("description") or node["name"], Runbook.MARTS),
            metadata=_metadata(node, lineage or {}),
            skippable=True,
            group_name=str(node["schema"]),
            code_version=_code_version(node),
            owners=owners(node),
            kinds=set(KINDS),
        )
        for _, node in sorted(data["nodes"].items())
        if _is_asset(node) and of(node)
    ]


def _is_asset(node: Node) -> bool:
    return node["resource_type"] in ASSETS and node["config"]["materialized"] != "ephemeral"


def _parents(data: Mapping[str, Any], node: Node) -> list[tuple[dg.AssetKey, bool]]:
    """Return what a node reads, and whether that is a source; an ephemeral model stands for what it reads itself."""
    found: dict[dg.AssetKey, bool] = {}
    waiting, seen = list(node["depends_on"].get("nodes", ())), set()
    while waiting:
        name = waiting.pop()
        if name in seen:
            continue
        seen.add(name)
        if name in data["sources"]:
            found[asset_key(data["sources"][name])] = True
        elif _is_asset(parent := data["nodes"][name]):
            found[asset_key(parent)] = False
        else:
            waiting += parent["depends_on"].get("nodes", ())
    return sorted(found.items())


def _code_version(node: Node) -> str | None:
    code = node.get("raw_code")
    return hashlib.sha1(code.encode()).hexdigest() if code else (node.get("checksum") or {}).get("checksum")


def _metadata(node: Node, lineage: Lineage) -> dict[str, Any]:
    origins = lineage.get(relation_of(node), {})
    shown: dict[str, Any] = {
        "dagster/table_name": relation_of(node),
        "dagster/storage_kind": "postgres",
        "dagster-dbt/materialization_type": node["config"]["materialized"],
        "dbt_file": dg.MetadataValue.path(f"dbt_project/{node['original_file_path']}"),
        **runbook_metadata(Runbook.MARTS),
    }
    columns = node.get("columns") or {}
    if columns:
        shown["dagster/column_schema"] = table_schema(columns, origins)
    if origins:
        shown["dagster/column_lineage"] = dg.TableColumnLineage(
            {
                name: [dg.TableColumnDep(relation.split("."), column) for relation, column in parents]
                for name, parents in origins.items()
            }
        )
    return shown
