"""Columns of the tables that ingestion fills, from the dbt project's sources: the one place that describes them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from orchestration.catalog.columns import table_schema
from orchestration.dbt_manifest import parsed_project


def columns_of(table: str) -> Mapping[str, Mapping[str, Any]]:
    """Return what dbt's sources say of a raw table's columns, by name; {} where they say nothing."""
    for source in parsed_project().data["sources"].values():
        if (source["schema"], source["identifier"]) == ("raw", table):
            columns: Mapping[str, Mapping[str, Any]] = source["columns"]
            return columns
    return {}


def stored_columns(table: str) -> dict[str, Any]:
    """Return the metadata that shows a raw table's name and columns."""
    shown: dict[str, Any] = {"dagster/table_name": f"raw.{table}"}
    if columns := columns_of(table):
        shown["dagster/column_schema"] = table_schema(columns, {})
    return shown
