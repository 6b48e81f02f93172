"""Rows and cost by day, for the plots."""

from __future__ import annotations

from datetime import date
from decimal import Decimal

import psycopg
import pytest

from builds.figures import DailyRelation, DayFigures, by_day, daily_relation, rejected_records
from ingestion.windows import Window


@pytest.mark.parametrize(
    ("columns", "expected"),
    [
        (["tenant_id", "date", "estimated_cost_cents"], DailyRelation("marts", "m", "date", "estimated_cost_cents")),
        (["date", "unit_count"], DailyRelation("marts", "m", "date", None)),
        (["usage_date", "estimated_cost_usd"], DailyRelation("marts", "m", "usage_date", "estimated_cost_usd")),
        (["month", "estimated_cost_cents"], None),
    ],
)
def test_what_has_a_day_has_figures(columns: list[str], expected: DailyRelation | None) -> None:
    assert daily_relation("marts", "m", columns) == expected


def test_each_day_has_its_own_figures(database: str) -> None:
    with psycopg.connect(database) as connection:
        connection.execute("create schema figures")
        connection.execute("create table figures.costs (date date, estimated_cost_cents numeric)")
        connection.execute(
            "insert into figures.costs values ('2026-11-01', 250), ('2026-11-01', 50.5), ('2026-11-02', null), ('2026-11-04', 9)"
        )
        connection.execute(
            "insert into raw.rejected_records (table_name, account_id, usage_date, reason, record, load_id)"
            " values ('t', 'a', '2026-11-03', 'r', '{}', 'l'), ('t', 'a', '2026-11-04', 'r', '{}', 'l')"
        )
    window = Window.of_days(date(2026, 11, 1), date(2026, 11, 3))
    costs = DailyRelation("figures", "costs", "date", "estimated_cost_cents")
    assert by_day(database, {"costs": costs}, window) == {
        "costs": {
            date(2026, 11, 1): DayFigures(2, Decimal("3.005")),
            date(2026, 11, 2): DayFigures(1, None),
            date(2026, 11, 3): DayFigures(0, None),
        }
    }
    assert by_day(database, {}, window) == {}
    assert rejected_records(database, ["t", "u"], window) == {"t": 1}
