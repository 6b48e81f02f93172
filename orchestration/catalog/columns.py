"""dbt's columns, of models and of the sources that ingestion fills, as the UI's table of columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import dagster as dg

from builds.column_lineage import Column
from builds.dbt_manifest import parsed_project

SHOWN_ORIGINS = 6


def table_schema(columns: Mapping[str, Mapping[str, Any]], origins: Mapping[str, Sequence[Column]]) -> dg.TableSchema:
    """Return dbt's columns for the UI's table of columns, where each comes from in its description.

    The open-source UI keeps `dagster/column_lineage` but draws no graph of it, so people read it here.
    """
    return dg.TableSchema(
        columns=[
            dg.TableColumn(
                name=name,
                type=column.get("data_type") or "?",
                description=described(column.get("description") or "", origins.get(name)),
                constraints=dg.TableColumnConstraints(nullable=not _is_not_null(column)),
            )
            for name, column in columns.items()
        ]
    )


def described(description: str, origins: Sequence[Column] | None) -> str:
    """Return a column's description followed by its origin: ``From staging.x: a, b; staging.y: c``."""
    if not origins:
        return description
    by_relation: dict[str, list[str]] = {}
    for relation, column in origins:
        by_relation.setdefault(relation, []).append(column)
    parts = []
    for relation, names in by_relation.items():
        more = f" and {len(names) - SHOWN_ORIGINS} more" if len(names) > SHOWN_ORIGINS else ""
        parts.append(f"`{relation}`: {', '.join(names[:SHOWN_ORIGINS])}{more}")
    return f"{description} ← {'; '.join(parts)}".strip()


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


def _is_not_null(column: Mapping[str, Any]) -> bool:
    return any(str(rule.get("type")).endswith("not_null") for rule in column.get("constraints") or ())
