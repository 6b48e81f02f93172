"""Rows and cost of each day of a window, for the plots of an asset's page: numbers per partition, not one for a whole run."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal

import psycopg
from psycopg import sql

from ingestion.windows import Window

COST_IN_USD = {"estimated_cost_usd": "1", "estimated_cost_cents": "100"}
"""Columns that are a cost, and how many of their unit are a dollar."""


@dataclass(frozen=True)
class DayFigures:
    """A relation's day; ``cost_usd`` is None where it has no cost, or none is known of any row."""

    rows: int
    cost_usd: Decimal | None


@dataclass(frozen=True)
class DailyRelation:
    """A relation with a column that holds the UTC day, and perhaps one that is a cost."""

    schema: str
    name: str
    day: str
    cost: str | None = None


def daily_relation(schema: str, name: str, columns: Iterable[str]) -> DailyRelation | None:
    """Return what is daily about a relation with these columns; None: it has no day."""
    names = set(columns)
    day = next((column for column in ("date", "usage_date") if column in names), None)
    cost = next((column for column in COST_IN_USD if column in names), None)
    return DailyRelation(schema, name, day, cost) if day else None


def by_day(
    database_url: str, relations: Mapping[str, DailyRelation], window: Window
) -> dict[str, dict[date, DayFigures]]:
    """Return the figures of every day of the window, by the mapping's keys; a day without rows has 0 of them."""
    if not relations:
        return {}
    figures = {key: {day: DayFigures(0, None) for day in window.days()} for key in relations}
    parts = [_figures(key, relation) for key, relation in relations.items()]
    with psycopg.connect(database_url, autocommit=True) as connection:
        rows = connection.execute(
            sql.SQL(" union all ").join(parts), {"first": window.start, "end": window.end}
        ).fetchall()
    for key, day, count, cost in rows:
        figures[key][day] = DayFigures(count, cost)
    return figures


def rejected_records(database_url: str, tables: Iterable[str], window: Window) -> dict[str, int]:
    """Return how many records of the window are set aside, by raw table; those without one are left out."""
    with psycopg.connect(database_url, autocommit=True) as connection:
        rows = connection.execute(
            "select table_name, count(*) from raw.rejected_records where table_name = any(%(tables)s)"
            " and usage_date >= %(first)s and usage_date < %(end)s group by table_name",
            {"tables": list(tables), "first": window.start, "end": window.end},
        ).fetchall()
    return dict(rows)


def _figures(key: str, relation: DailyRelation) -> sql.Composed:
    cost: sql.Composable = sql.SQL("null::numeric")
    if relation.cost:
        cost = sql.SQL("sum({}) / {}").format(sql.Identifier(relation.cost), sql.SQL(COST_IN_USD[relation.cost]))
    return sql.SQL(
        "select {key}, {day}, count(*), {cost} from {table} where {day} >= %(first)s and {day} < %(end)s group by {day}"
    ).format(
        key=sql.Literal(key),
        day=sql.Identifier(relation.day),
        cost=cost,
        table=sql.Identifier(relation.schema, relation.name),
    )
