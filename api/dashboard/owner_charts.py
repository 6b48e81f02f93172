"""The charts of what all tenants cost, from the body of the route of all days. Pure: no HTTP, no SQL, no HTML."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

from api.admin.daily import PreviousDay, SystemDaily, SystemDay
from api.dashboard import formats
from api.dashboard.charts import Before, Cell, Chart, Number, Series, Step, month_so_far, stacked_bars
from api.dashboard.usage_charts import dollars
from api.kit.money import total, usd
from api.kit.periods import DayRange, Month


def system_chart(daily: SystemDaily) -> Chart:
    """Return the bars of a month's days, a colour per provider, service or tenant."""
    steps = [_step(index, day, day.date == daily.end) for index, day in enumerate(daily.days)]
    series = []
    for group in daily.groups:
        cells = [_cell(index, day, group.key) for index, day in enumerate(daily.days)]
        values: list[Number | None] = [None if cell.value is None else float(cell.value) for cell in cells]
        series.append(Series(group.key or "others", group.name, values, cells, formats.cents(group.cost_cents)))
    return stacked_bars(
        "system",
        f"Estimated cost per day, by {daily.group_by}",
        f"All tenants, {formats.day(daily.start)} to {formats.day(daily.end)}, UTC. "
        f"{'; '.join(f'{entry.label} {entry.total}' for entry in series)}. The table below has every figure.",
        steps,
        series,
        axis=dollars,
    )


def _step(index: int, day: SystemDay, is_last: bool) -> Step:
    total_cell = Cell(formats.cents(day.cost_cents), day.cost_usd, f"daily.days.{index}.costCents")
    return Step(formats.short_day(day.date), formats.weekday(day.date), total_cell, "The newest day" if is_last else "")


def _cell(index: int, day: SystemDay, key: str) -> Cell:
    for place, group in enumerate(day.groups):
        if group.key == key:
            name = f"daily.days.{index}.groups.{place}.costCents"
            return Cell(formats.cents(group.cost_cents), group.cost_usd, name)
    return Cell(formats.cents(0), "0")


def months_chart(daily: SystemDaily) -> Chart:
    """Return the month added up day by day, beside the month before."""
    month = Month.of(daily.start)
    now, then = _added_up(daily.days), _added_up(daily.previous_days)
    steps = [
        Step(formats.short_day(day.date), formats.weekday(day.date), Cell(formats.rounded_usd(exact), exact), "")
        for day, exact in zip(daily.days, now, strict=True)
    ]
    before = Before(
        formats.month(daily.previous_days[0].date),
        [float(exact) for exact in then],
        [Cell(formats.rounded_usd(exact), exact) for exact in then],
        formats.cents(daily.previous_month_cost_cents),
    )
    return month_so_far(
        "system",
        f"Running total of {month.label}, beside {before.label}",
        f"{formats.cents(daily.cost_cents)} up to {formats.day(daily.end)}; {before.label} came to {before.total}.",
        steps,
        (month.last - month.first).days + 1,
        [float(exact) for exact in now],
        label=month.label,
        axis=dollars,
        labels=[formats.short_day(day) for day in DayRange(month.first, month.last).days()],
        before=before if any(Decimal(exact) for exact in then) else None,
    )


def _added_up(days: Sequence[SystemDay | PreviousDay]) -> list[str]:
    """Return what the days cost up to each of them, in exact dollars; a day without any price adds nothing."""
    sums: list[str] = []
    so_far = total([])
    for day in days:
        so_far = total((so_far, Decimal(day.cost_usd or "0").scaleb(2, formats.WIDE)))
        sums.append(usd(so_far) or "0")
    return sums
