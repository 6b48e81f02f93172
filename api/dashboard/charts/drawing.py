"""What a chart is made of: what the pages give, and what `chart.html` writes.

Across, a plot is `SLOT` units for each step of time and is stretched to the page's width; down, it is `HEIGHT` units for `PLOT` pixels.
Nothing with text in it is stretched: labels stand at percents of the width, and at pixels of the height.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

Number = float | int
Formatter = Callable[[Number], str]
GapKind = Literal["no_answer", "not_metered"]

SLOT = 10
HEIGHT = 1000
PLOT = 220
# How many labels fit below the plot, on a wide screen and on a phone.
LABELS, FEW_LABELS = 10, 4


@dataclass(frozen=True, slots=True)
class Cell:
    """A figure as people read it.

    ``value`` is the exact one, ``field`` its name in the JSON route, ``note`` a second figure below it with ``note_field``.
    """

    text: str
    value: str | None = None
    field: str | None = None
    note: str = ""
    note_field: str | None = None


@dataclass(frozen=True, slots=True)
class Step:
    """A day, week or month. ``state`` says in words what is special about it; ``total`` is all series together."""

    label: str
    name: str
    total: Cell
    state: str = ""


@dataclass(frozen=True, slots=True)
class Series:
    """One colour. ``key`` names it (a channel, say); a value of None draws nothing.

    ``total`` is what the legend says beside the label, ``unit`` what the notes of its cells are counted in.
    """

    key: str
    label: str
    values: Sequence[Number | None]
    cells: Sequence[Cell]
    total: str = ""
    unit: str = ""


@dataclass(frozen=True, slots=True)
class Gap:
    """Steps, both included, for which a series is not known: not nothing, but no answer."""

    key: str
    first: int
    last: int
    kind: GapKind


@dataclass(frozen=True, slots=True)
class Tick:
    """A label: ``at`` in percent of the width, or in pixels of the height.

    Minor ones are left out on a phone. One ``at_end`` ends there, where a middle would stand out of the plot.
    """

    at: str
    text: str
    is_minor: bool = False
    at_end: bool = False


@dataclass(frozen=True, slots=True)
class Mark:
    """One path. ``kind`` is bars, area, line, band, expected or cap; ``tone`` names a colour of the style sheet."""

    kind: str
    tone: str
    path: str


@dataclass(frozen=True, slots=True)
class Band:
    """A stretch of time that is not known, in percent of the width. A strip, where only some of the series are not."""

    x: str
    width: str
    kind: GapKind
    is_strip: bool


@dataclass(frozen=True, slots=True)
class View:
    """One way to see the plot: all series, or one alone at a scale of its own. ``key`` is empty for all."""

    key: str
    marks: Sequence[Mark]
    levels: Sequence[Tick]
    bands: Sequence[Band]


@dataclass(frozen=True, slots=True)
class Entry:
    """A line of the legend. ``kind`` as a mark's, or a gap's. Entries with a view of their own can be isolated."""

    key: str
    label: str
    tone: str
    total: str = ""
    kind: str = "bars"
    has_view: bool = True


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a chart's table: one series, in the colour in which it is drawn."""

    key: str
    label: str
    tone: str
    unit: str = ""


@dataclass(frozen=True, slots=True)
class Row:
    """A step in a chart's table: a cell per column, then the total."""

    step: Step
    cells: Sequence[Cell]


@dataclass(frozen=True, slots=True)
class Chart:
    """What the macro `chart` draws.

    ``noun`` is what a step is (day, week, month); ``width`` that of the plot in its own units.
    """

    id: str
    title: str
    summary: str
    noun: str
    width: int
    ticks: Sequence[Tick]
    views: Sequence[View]
    legend: Sequence[Entry]
    columns: Sequence[Column]
    rows: Sequence[Row]
    has_total: bool
    plot: int = PLOT
    height: int = HEIGHT


def percent(part: Number, whole: Number) -> str:
    """Return a share of the width as SVG takes it."""
    return f"{100 * part / whole:.2f}".rstrip("0").rstrip(".") + "%"


def ticks_of(labels: Sequence[str]) -> list[Tick]:
    """Return the labels below the plot, each below the middle of its step. Counted from the newest: the last step always has one."""
    wide, few = (max(1, -(-len(labels) // most)) for most in (LABELS, FEW_LABELS))
    few = -(-few // wide) * wide
    ticks = []
    for index, label in enumerate(labels):
        back = len(labels) - 1 - index
        if back % wide == 0:
            at_end = back == 0 and len(labels) > LABELS
            at = percent(1, 1) if at_end else percent(2 * index + 1, 2 * len(labels))
            ticks.append(Tick(at, label, is_minor=back % few != 0, at_end=at_end))
    return ticks


def bands_of(gaps: Sequence[Gap], keys: Sequence[str], drawn: Sequence[bool]) -> list[Band]:
    """Return the stretches in which any of the series is not known; full where nothing stands in their way.

    Args:
        keys: the series that are shown.
        drawn: of each step, whether anything of them is drawn there.
    """
    count = len(drawn)
    kinds: list[tuple[GapKind, bool] | None] = []
    for index in range(count):
        found = {gap.key: gap.kind for gap in gaps if gap.first <= index <= gap.last and gap.key in keys}
        # An answer that is missing is news; what was not metered yet is not.
        kind: GapKind = "no_answer" if "no_answer" in found.values() else "not_metered"
        kinds.append((kind, len(found) < len(keys) and drawn[index]) if found else None)
    bands, first = [], 0
    for index in range(1, count + 1):
        if index < count and kinds[index] == kinds[first]:
            continue
        if (here := kinds[first]) is not None:
            kind, is_strip = here
            bands.append(Band(percent(first, count), percent(index - first, count), kind, is_strip))
        first = index
    return bands
