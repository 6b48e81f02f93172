"""How a dbt node looks in Dagster: key = [schema, table], group = layer; columns, their origin, owners and runbook from dbt's docs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import dagster as dg
from dagster_dbt import DagsterDbtTranslator, DagsterDbtTranslatorSettings

from builds.column_lineage import Lineage, relation_of
from orchestration.catalog.columns import table_schema
from orchestration.catalog.runbooks import Runbook, runbook_metadata, with_runbook

TEAM = "data"


class Translator(DagsterDbtTranslator):
    """dbt node properties to asset attributes.

    Args:
        lineage: where columns come from; see `builds.column_lineage`.
    """

    def __init__(self, lineage: Lineage | None = None) -> None:
        super().__init__(settings=DagsterDbtTranslatorSettings(enable_code_references=False))
        self._lineage = lineage or {}

    def get_asset_key(self, dbt_resource_props: Mapping[str, Any]) -> dg.AssetKey:
        if dbt_resource_props["resource_type"] == "source":
            return dg.AssetKey([dbt_resource_props["schema"], dbt_resource_props["identifier"]])
        return dg.AssetKey([dbt_resource_props["schema"], dbt_resource_props["alias"]])

    def get_group_name(self, dbt_resource_props: Mapping[str, Any]) -> str:
        return str(dbt_resource_props["schema"])

    def get_description(self, dbt_resource_props: Mapping[str, Any]) -> str:
        # Not the library's: that one adds the model's SQL with its Jinja, which nobody can run.
        return with_runbook(dbt_resource_props.get("description") or dbt_resource_props["name"], Runbook.MARTS)

    def get_owners(self, dbt_resource_props: Mapping[str, Any]) -> list[str]:
        owner = str((dbt_resource_props.get("meta") or {}).get("owner") or TEAM)
        return [owner if "@" in owner else f"team:{owner}"]

    def get_tags(self, dbt_resource_props: Mapping[str, Any]) -> dict[str, str]:
        return {}

    def get_metadata(self, dbt_resource_props: Mapping[str, Any]) -> dict[str, Any]:
        if dbt_resource_props["resource_type"] == "source":
            return {}  # ingestion's assets say what these are; here they are asked for as parents only
        # Not the library's: it would describe the columns once more, and name the table with the database of whoever parsed.
        origins = self._lineage.get(relation_of(dbt_resource_props), {})
        shown: dict[str, Any] = {
            "dagster/table_name": relation_of(dbt_resource_props),
            "dagster-dbt/materialization_type": dbt_resource_props["config"]["materialized"],
            "dbt_file": dg.MetadataValue.path(f"dbt_project/{dbt_resource_props['original_file_path']}"),
            **runbook_metadata(Runbook.MARTS),
        }
        columns = dbt_resource_props.get("columns") or {}
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
