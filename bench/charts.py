"""The pages' charts: what drawing one takes, from the rows of the daily route to its SVG and its table."""

from __future__ import annotations

import time
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from statistics import median

from api.dashboard.charts import Chart
from api.dashboard.rendering import build_environment
from api.dashboard.usage_charts import usage_chart
from api.kit.money import money
from api.usage.schemas import DailyRow, DailySeries
from bench.report import Ratio, at_most
from costs.rules.services import UNITS

# Days -> what their page may take in all, in milliseconds of Python's CPU time.
BOUNDS = {30: 35, 90: 60, 366: 200}
CHANNELS = list(UNITS)[:9]
RUNS = 15
TEMPLATE = '{% from "chart.html" import chart with context %}{{ chart(drawn) }}'


def run() -> list[Ratio]:
    """CPU milliseconds of a chart of nine channels, beside what its page may take."""
    return [_ratio(days, bound) for days, bound in BOUNDS.items()]


def _ratio(days: int, bound: int) -> Ratio:
    series = _series(days)
    template = build_environment().from_string(TEMPLATE)

    def drawn() -> str:
        chart: Chart = usage_chart(series, "cost")
        return template.render(drawn=chart, root_path="")

    size = len(drawn())
    taken = []
    for _ in range(RUNS):
        started = time.process_time()
        drawn()
        taken.append((time.process_time() - started) * 1000)
    typical = median(taken)
    return at_most(
        f"a chart of {days} days: Python's CPU / the page's {bound} ms",
        typical / bound,
        0.5,
        f"{typical:.1f} ms, {size / 1000:,.0f} kB before compression",
    )


def _series(days: int) -> DailySeries:
    first = date(2026, 1, 1)
    rows = [
        DailyRow(
            date=first + timedelta(days=day),
            channel=channel,
            unit=UNITS[channel],
            unit_count=(day * 7 + number) % 11,
            request_count=(day * 7 + number) % 11,
            **money("estimated_cost", Decimal((day * 7 + number) % 11) * 25),
            **money("billed_cost", None),
            unpriced_unit_count=0,
            unpriced_units=[],
            provisional_unit_count=0,
            is_final=True,
            group={},
        )
        for day in range(days)
        for number, channel in enumerate(CHANNELS)
    ]
    begin = datetime(first.year, first.month, first.day, tzinfo=UTC)
    return DailySeries(
        data_as_of=None,
        tenant_id="acme",
        start=first,
        end=first + timedelta(days=days - 1),
        granularity="day",
        time_zone="UTC",
        starts_at=begin,
        ends_at=begin + timedelta(days=days),
        built_at=None,
        rows=rows,
        gaps=[],
    )
