"""The charts of what all tenants cost, from the body of the route of all days. Pure: no HTTP, no SQL, no HTML."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

from api.admin.daily import CostGroup, PreviousDay, SystemDaily, SystemDay
from api.dashboard import formats, gaps
from api.dashboard.charts import Before, Cell, Chart, Number, Series, Step, month_so_far, stacked_bars
from api.dashboard.steps import Span, spans_of
from api.dashboard.usage_charts import dollars
from api.kit.money import total, usd
from api.kit.periods import DayRange, Month

ALL = ""
"""Whose gaps are nobody's alone: where groups are tenants. No series has this key."""


def system_chart(daily: SystemDaily) -> Chart:
    """Return the bars of a month's days, a colour per provider, service or tenant."""
    not_known = _gaps(daily)
    states, unknown = _states(daily, not_known), gaps.unknown(not_known)
    steps = [_step(index, day, states[index], day.date == daily.end) for index, day in enumerate(daily.days)]
    series = []
    for group in daily.groups:
        of_gaps = ALL if daily.group_by == "tenant" else group.key
        cells = [_cell(index, day, group.key, (of_gaps, day.date) in unknown) for index, day in enumerate(daily.days)]
        values: list[Number | None] = [None if cell.value is None else float(cell.value) for cell in cells]
        series.append(Series(_key(group), group.name, values, cells, formats.cents(group.cost_cents)))
    return stacked_bars(
        "system",
        f"Estimated cost per day, by {daily.group_by}",
        f"All tenants, {formats.day(daily.start)} to {formats.day(daily.end)}, UTC. "
        f"{'; '.join(f'{entry.label} {entry.total}' for entry in series)}. The table below has every figure.",
        steps,
        series,
        axis=dollars,
        gaps=gaps.drawn(not_known, _spans(daily)),
        beside=_beside(daily, not_known),
    )


def _key(group: CostGroup) -> str:
    """Return the key of a group's series."""
    return group.key or "others"


def _gaps(daily: SystemDaily) -> list[gaps.Keyed]:
    """Return what is not known of the groups that are shown, and every missing answer: whoever gave none all month long has no group."""
    shown = {_key(group) for group in daily.groups}
    return [
        (ALL if gap.key is None else gap.key, gap)
        for gap in daily.gaps
        if gap.key is None or gap.key in shown or gap.state == "no_answer"
    ]


def _beside(daily: SystemDaily, not_known: Sequence[gaps.Keyed]) -> list[str]:
    """Return whose gaps are no series'."""
    shown = {_key(group) for group in daily.groups}
    return list(dict.fromkeys(key for key, _ in not_known if key not in shown))


def _states(daily: SystemDaily, not_known: Sequence[gaps.Keyed]) -> list[str]:
    """Return what is to be said of each day that is not known."""
    name_of = formats.service_name if daily.group_by == "service" else None
    return [gaps.told(not_known, span, name_of) for span in _spans(daily)]


def _spans(daily: SystemDaily) -> list[Span]:
    return spans_of(DayRange(daily.start, daily.end), "day")


def _step(index: int, day: SystemDay, state: str, is_last: bool) -> Step:
    total_cell = Cell(formats.cents(day.cost_cents), day.cost_usd, f"daily.days.{index}.costCents")
    state = "; ".join(part for part in ("The newest day" if is_last else "", state) if part)
    return Step(formats.short_day(day.date), formats.weekday(day.date), total_cell, state)


def _cell(index: int, day: SystemDay, key: str, is_unknown: bool) -> Cell:
    for place, group in enumerate(day.groups):
        if group.key == key:
            name = f"daily.days.{index}.groups.{place}.costCents"
            return Cell(formats.cents(group.cost_cents), group.cost_usd, name)
    # A zero that nobody has said is none.
    return Cell(formats.MISSING) if is_unknown else Cell(formats.cents(0), "0")


def months_chart(daily: SystemDaily) -> Chart:
    """Return the month added up day by day, beside the month before."""
    month = Month.of(daily.start)
    not_known = _gaps(daily)
    now, then = _added_up(daily.days), _added_up(daily.previous_days)
    steps = [
        Step(formats.short_day(day.date), formats.weekday(day.date), Cell(formats.rounded_usd(exact), exact), state)
        for day, exact, state in zip(daily.days, now, _states(daily, not_known), strict=True)
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
        gaps=gaps.drawn(not_known, _spans(daily)),
        keys=[*map(_key, daily.groups), *_beside(daily, not_known)],
    )


def _added_up(days: Sequence[SystemDay | PreviousDay]) -> list[str]:
    """Return what the days cost up to each of them, in exact dollars; a day without any price adds nothing."""
    sums: list[str] = []
    so_far = total([])
    for day in days:
        so_far = total((so_far, Decimal(day.cost_usd or "0").scaleb(2, formats.WIDE)))
        sums.append(usd(so_far) or "0")
    return sums
