"""Bars that stand on each other, a colour per series."""

from __future__ import annotations

from collections.abc import Sequence

from api.dashboard.charts.drawing import (
    SLOT,
    Chart,
    Column,
    Entry,
    Formatter,
    Gap,
    Mark,
    Number,
    Row,
    Series,
    Step,
    Tick,
    View,
    bands_of,
    ticks_of,
)
from api.dashboard.charts.scale import Scale, scale_of
from api.dashboard.charts.series import OTHER, together, tones

BAR = 7.6
Values = Sequence[Number | None]


def stacked_bars(
    chart_id: str,
    title: str,
    summary: str,
    steps: Sequence[Step],
    series: Sequence[Series],
    *,
    axis: Formatter,
    gaps: Sequence[Gap] = (),
    noun: str = "day",
    beside: Sequence[str] = (),
) -> Chart:
    """Return bars stacked per step, the first series at the bottom; thin ones together on top of all.

    Args:
        chart_id: unique on the page; letters and hyphens.
        summary: the chart in a sentence or two, for those who cannot see it.
        axis: how the numbers at the side are written.
        beside: what gaps name that no series is of; the chart of all series shows it too.
    """
    colours = tones(series)
    thin = [entry for entry in series if colours[entry.key] == OTHER]
    own = [entry for entry in series if colours[entry.key] != OTHER]
    drawn: list[tuple[str, str, Values]] = [(entry.key, colours[entry.key], entry.values) for entry in own]
    if thin:
        drawn.append((OTHER, OTHER, together(thin)))
    keys = [*(entry.key for entry in series), *beside]
    anything = [any(values[index] for _, _, values in drawn) for index in range(len(steps))]
    whole = View("", *_stack([(tone, values) for _, tone, values in drawn], axis), bands_of(gaps, keys, anything))
    alone = [
        View(
            key, *_stack([(tone, values)], axis), bands_of(gaps, _keys_of(key, thin), [bool(value) for value in values])
        )
        for key, tone, values in drawn
    ]
    legend = [Entry(entry.key, entry.label, colours[entry.key], entry.total) for entry in own]
    if thin:
        legend.append(Entry(OTHER, f"Other: {', '.join(entry.label for entry in thin)}", OTHER))
    views = [whole, *(alone if len(alone) > 1 else ())]
    return Chart(
        id=chart_id,
        title=title,
        summary=summary,
        noun=noun,
        width=SLOT * len(steps),
        ticks=ticks_of([step.label for step in steps]),
        views=views,
        legend=[*legend, *gap_entries(views)],
        columns=[Column(entry.key, entry.label, colours[entry.key], entry.unit) for entry in series],
        rows=[Row(step, [entry.cells[index] for entry in series]) for index, step in enumerate(steps)],
        has_total=len(series) > 1,
    )


def gap_entries(views: Sequence[View]) -> list[Entry]:
    """Return what the legend says of the kinds of gaps that are drawn."""
    kinds = {band.kind for view in views for band in view.bands}
    words = {"no_answer": "No answer yet", "not_metered": "Not yet metered"}
    return [Entry(kind, text, kind, kind=kind, has_view=False) for kind, text in words.items() if kind in kinds]


def _keys_of(key: str, thin: Sequence[Series]) -> list[str]:
    return [entry.key for entry in thin] if key == OTHER else [key]


def _stack(drawn: Sequence[tuple[str, Values]], axis: Formatter) -> tuple[list[Mark], list[Tick]]:
    """Return the marks of (tone, values) on each other, and the levels beside them."""
    columns = list(zip(*(values for _, values in drawn), strict=True))
    above = [sum(value for value in column if value and value > 0) for column in columns]
    under = [sum(value for value in column if value and value < 0) for column in columns]
    scale = scale_of(min(under, default=0), max(above, default=0))
    tops, bottoms = [0.0] * len(columns), [0.0] * len(columns)
    marks = [Mark("bars", tone, _bars(values, tops, bottoms, scale)) for tone, values in drawn]
    return [mark for mark in marks if mark.path], scale.ticks(axis)


def _bars(values: Values, tops: list[float], bottoms: list[float], scale: Scale) -> str:
    """Return a path of a series' bars; they stand on the ``tops`` so far, or hang from the ``bottoms``, and move them."""
    bars = []
    for index, value in enumerate(values):
        if not value:
            continue
        stack = bottoms if value < 0 else tops
        start = scale.y(stack[index])
        stack[index] += value
        end = scale.y(stack[index])
        if start != end:
            bars.append(f"M{SLOT * index + (SLOT - BAR) / 2:g} {start}V{end}h{BAR}V{start}z")
    return "".join(bars)
