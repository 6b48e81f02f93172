"""A month's use added up day by day, with where it is expected to end and with its cap; or beside the month before."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from api.dashboard.charts.drawing import (
    SLOT,
    Cell,
    Chart,
    Column,
    Entry,
    Formatter,
    Gap,
    Mark,
    Number,
    Row,
    Step,
    View,
    bands_of,
    ticks_of,
)
from api.dashboard.charts.scale import Scale, scale_of
from api.dashboard.charts.stacks import gap_entries

TONE = "1"
BEFORE_TONE = "other"
# A cap that is further above everything else than this would press the rest flat: it is told, and not drawn.
FAR = 3


@dataclass(frozen=True, slots=True)
class Outlook:
    """Where the month is expected to end. ``text`` says so."""

    low: Number
    expected: Number
    high: Number
    text: str


@dataclass(frozen=True, slots=True)
class Before:
    """The month before, added up likewise: a value and a cell for each of its days. ``total`` is what it came to."""

    label: str
    values: Sequence[Number]
    cells: Sequence[Cell]
    total: str


def month_so_far(
    chart_id: str,
    title: str,
    summary: str,
    steps: Sequence[Step],
    days: int,
    values: Sequence[Number],
    *,
    label: str,
    axis: Formatter,
    labels: Sequence[str],
    outlook: Outlook | None = None,
    before: Before | None = None,
    cap: Number | None = None,
    cap_text: str = "",
    gaps: Sequence[Gap] = (),
    keys: Sequence[str] = (),
) -> Chart:
    """Return the line of what was used up to each day.

    Args:
        steps: the days so far; their totals are what was used up to each of them.
        days: how many the month has.
        values: as the totals, to draw.
        label: what is added up.
        before: the month before, as far as the month has days.
        labels: of all the month's days.
        cap: where it is, in the values' unit; ``cap_text`` says it.
        keys: of what is added up, as the gaps name it.
    """
    earlier = list(before.values[:days]) if before else []
    tops = [*values, *earlier, *([outlook.high] if outlook else [])]
    top = max(tops, default=0)
    is_cap_drawn = cap is not None and (cap <= FAR * top or not top)
    scale = scale_of(
        min([*values, *earlier], default=0), max([top, *([cap] if cap is not None and is_cap_drawn else [])])
    )
    marks = [Mark("before", BEFORE_TONE, _line(earlier, scale))] if earlier else []
    marks += _used(values, scale)
    if outlook and len(values) < days:
        marks += _expected(values, outlook, days, scale)
    if cap is not None and is_cap_drawn:
        marks.append(Mark("cap", "cap", f"M0 {scale.y(cap)}H{SLOT * days}"))
    view = View("", marks, scale.ticks(axis), bands_of(gaps, keys, [index < len(values) for index in range(days)]))
    legend = [Entry("used", label, TONE, steps[-1].total.text if steps else "", "area", has_view=False)]
    if before:
        legend.append(Entry("before", before.label, BEFORE_TONE, before.total, "before", has_view=False))
    if outlook:
        legend.append(Entry("expected", "Expected at month’s end", TONE, outlook.text, "band", has_view=False))
    if cap is not None:
        words = "Cap" if is_cap_drawn else "Cap, far above"
        legend.append(Entry("cap", words, "cap", cap_text, "cap", has_view=False))
    return Chart(
        id=chart_id,
        title=title,
        summary=summary,
        noun="day",
        width=SLOT * days,
        ticks=ticks_of(labels),
        views=[view],
        legend=[*legend, *gap_entries([view])],
        columns=[Column("used", label, TONE), *([Column("before", before.label, BEFORE_TONE)] if before else [])],
        rows=[
            Row(
                step,
                [
                    Cell(step.total.text, step.total.value, step.total.field),
                    *([_cell_of(before, index)] if before else []),
                ],
            )
            for index, step in enumerate(steps)
        ],
        has_total=False,
    )


def _x(index: int) -> int:
    """Return the middle of a day."""
    return SLOT * index + SLOT // 2


def _cell_of(before: Before, index: int) -> Cell:
    """Return the day's of the month before; a longer month has days that it had not."""
    return before.cells[index] if index < len(before.cells) else Cell("—")


def _line(values: Sequence[Number], scale: Scale) -> str:
    return "M" + "L".join(f"{_x(index)} {scale.y(value)}" for index, value in enumerate(values))


def _used(values: Sequence[Number], scale: Scale) -> list[Mark]:
    if not values:
        return []
    line = _line(values, scale)
    floor = scale.y(0)
    area = f"M{_x(0)} {floor}L{line[1:]}L{_x(len(values) - 1)} {floor}z"
    return [Mark("area", TONE, area), Mark("line", TONE, line)]


def _expected(values: Sequence[Number], outlook: Outlook, days: int, scale: Scale) -> list[Mark]:
    """Return the band from the last day so far to the month's last, and the line of what is expected in it."""
    start = f"{_x(len(values) - 1)} {scale.y(values[-1])}" if values else f"0 {scale.y(0)}"
    end = _x(days - 1)
    return [
        Mark("band", TONE, f"M{start}L{end} {scale.y(outlook.high)}V{scale.y(outlook.low)}z"),
        Mark("expected", TONE, f"M{start}L{end} {scale.y(outlook.expected)}"),
    ]
