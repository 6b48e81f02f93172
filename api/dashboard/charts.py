"""Charts as inline SVG, drawn by pygal and made fit for pages with a strict Content-Security-Policy.

pygal writes its styles and its configuration into the picture, where such a page would refuse them. They go: colours
and type come from metering.css (so that they follow light and dark), the configuration goes to a `data-chart`
attribute, from which metering.js hands it to pygal's own tooltip script. A chart is drawn twice, for wide and for
narrow screens, because the text of one that is scaled cannot be read. It is an illustration: the page has a table
with the same figures beside it, and the chart says so to those who cannot see it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any
from xml.etree import ElementTree

import pygal
from markupsafe import Markup
from pygal.style import Style

Number = float | int
Formatter = Callable[[Number], str]

WIDE = (960, 260)
NARROW = (360, 240)
# How many labels fit below the bars.
WIDE_LABELS, NARROW_LABELS = 10, 4
AXIS_LABELS = 4
# More bars than this on a narrow screen are too thin for a finger: they have no tooltips, which are half of the markup.
MOST_TAPPED = 31
# Stands for a series' bars in pygal's tree: no text can have it.
_BARS = "\0"


@dataclass(frozen=True, slots=True)
class Series:
    """One colour of a chart. ``key`` names it in the style sheet (a channel, say); None: nothing to draw.

    ``texts`` are the values as a tooltip shows them, ``total`` what the legend says beside the label.
    """

    key: str
    label: str
    values: Sequence[Number | None]
    texts: Sequence[str]
    total: str = ""


@dataclass(frozen=True, slots=True)
class Drawing:
    """A picture, and what the tooltip script has to know about it (JSON)."""

    svg: Markup
    config: str


@dataclass(frozen=True, slots=True)
class Chart:
    """What the macro `chart` shows."""

    id: str
    title: str
    wide: Drawing
    narrow: Drawing
    legend: Sequence[Series]


class _StackedBars(pygal.StackedBar):  # type: ignore[misc]
    """pygal's frame around bars of our own.

    pygal makes its way through all of its options for each bar, and the tree of a quarter's bars takes as long again to
    clean and to write. So it is given what the bars of a day come to, for its scale, and the bars are written as they
    stand in the page; `test_bars_are_pygals` holds them to what pygal draws.
    """

    # A day without anything has no bar, and so no markup: pygal would make it a zero.
    _adapters: tuple[Any, ...] = ()

    def draw(self, series: Sequence[Series], labels: Sequence[str], *, tooltips: bool) -> tuple[Any, list[str]]:
        """Return the picture as a tree with a `_BARS` in place of each series' bars, and those bars.

        A series without a bar has neither.
        """
        self._stacks, self._labels, self._tooltips = series, labels, tooltips
        self._drawn: list[str] = []
        # Of days that have none, nothing: pygal says where there is no data at all.
        for sign in (1, -1):
            sums = [sum(_signed(entry.values[day], sign) for entry in series) or None for day in range(len(labels))]
            self.add("", sums)
        return self.render_tree(), self._drawn

    def _plot(self) -> None:
        above, under = [0.0] * len(self._labels), [0.0] * len(self._labels)
        for index, entry in enumerate(self._stacks):
            node = self.svg.serie(SimpleNamespace(index=index))["plot"]
            group = ElementTree.SubElement(node, "g", {"class": "bars"})
            if bars := self._bars(entry, above, under):
                group.text = _BARS
                self._drawn.append(bars)

    def _bars(self, entry: Series, above: list[float], under: list[float]) -> str:
        """Return a series' bars; they stand on what is ``above`` zero so far, or hang from what is ``under`` it."""
        view = self.view
        slot = (view.x(1) - view.x(0)) / len(self._labels)
        margin = slot * self._series_margin
        width = slot - 2 * margin
        across = [view.x(day / len(self._labels)) + margin for day in range(len(self._labels))]
        bars = []
        for day, (value, text) in enumerate(zip(entry.values, entry.texts, strict=True)):
            if not value:
                continue
            stack = under if value < 0 else above
            start = stack[day]
            stack[day] = end = start + value
            x, y = across[day], view.y(end)
            height = view.y(start) - y
            size = f'x="{_short(x)}" y="{_short(min(y, y + height))}" width="{_short(width)}" height="{_short(abs(height))}"'
            if self._tooltips:
                bars.append(
                    f'<g class="bar"><rect {size} class="rect reactive tooltip-trigger" />'
                    f'<desc class="value">{_escaped(text)}</desc>'
                    f'<desc class="x centered">{_short(x + width / 2)}</desc>'
                    f'<desc class="y centered">{_short(y + height / 2)}</desc>'
                    f'<desc class="x_label">{_escaped(self._labels[day])}</desc></g>'
                )
            else:
                bars.append(f'<g class="bar"><rect {size} /></g>')
        return "".join(bars)


def _signed(value: Number | None, sign: int) -> Number:
    """Return the value where it has that sign, else 0."""
    return value if value is not None and value * sign > 0 else 0


def stacked_bars(
    chart_id: str, title: str, description: str, labels: Sequence[str], series: Sequence[Series], axis: Formatter
) -> Chart:
    """Return bars stacked per label, the first series at the bottom.

    Args:
        chart_id: unique on the page; letters and hyphens.
        title: what is shown; read out by screen readers.
        description: the chart in a sentence, for those who cannot see it.
        labels: one per bar.
        axis: how the numbers at the side are written.
    """

    def drawn(kind: str, size: tuple[int, int], most_labels: int) -> Drawing:
        return _draw(f"{chart_id}-{kind}", size, most_labels, title, description, labels, series, axis)

    return Chart(
        chart_id, title, drawn("wide", WIDE, WIDE_LABELS), drawn("narrow", NARROW, NARROW_LABELS), tuple(series)
    )


def _draw(
    name: str,
    size: tuple[int, int],
    most_labels: int,
    title: str,
    description: str,
    labels: Sequence[str],
    series: Sequence[Series],
    axis: Formatter,
) -> Drawing:
    width, height = size
    chart = _StackedBars(**_options(size, most_labels, labels, axis))
    # A bar that is too thin for a finger has no tooltip.
    tooltips = width > NARROW[0] or len(labels) <= MOST_TAPPED
    root, bars = chart.draw(series, labels, tooltips=tooltips)
    _clean(root, [entry.key for entry in series])
    root.set("id", f"chart-{name}")
    root.set("role", "img")
    root.set("aria-labelledby", f"{name}-title {name}-desc")
    for tag, text in (("desc", description), ("title", title)):
        element = ElementTree.Element(tag, {"id": f"{name}-{tag}"})
        element.text = text
        root.insert(0, element)
    config = {
        "width": width,
        "height": height,
        "tooltip_fancy_mode": True,
        "legends": [entry.label for entry in series],
    }
    first, *others = ElementTree.tostring(root, encoding="unicode").split(_BARS)
    picture = first + "".join(part + other for part, other in zip(bars, others, strict=True))
    return Drawing(Markup(picture), json.dumps(config))


def _options(size: tuple[int, int], most_labels: int, labels: Sequence[str], axis: Formatter) -> dict[str, Any]:
    """Return pygal's settings of a picture, without its values."""
    width, height = size
    step = max(1, -(-len(labels) // most_labels))
    return {
        "width": width,
        "height": height,
        "js": (),
        "css": (),
        "show_legend": False,
        "margin": 4,
        "margin_right": 8,
        "spacing": 6,
        "style": Style(font_family="inherit", label_font_size=11, major_label_font_size=11),
        "value_formatter": axis,
        "x_labels": labels,
        # Counted from the newest: today is always labelled.
        "x_labels_major": [label for index, label in enumerate(reversed(labels)) if index % step == 0],
        "show_minor_x_labels": False,
        "truncate_label": -1,
        "y_labels_major_every": 1,
        "min_scale": 2,
        "max_scale": AXIS_LABELS,
        "include_x_axis": True,
        "tooltip_fancy_mode": True,
    }


def _clean(root: Any, keys: Sequence[str]) -> None:
    """Take out what the page's policy refuses, and shorten what is left."""
    unwanted = {"style", "script", "defs", "title"}
    for parent in root.iter():
        for child in list(parent):
            # A comment's or processing instruction's tag is a function.
            if not isinstance(child.tag, str) or child.tag in unwanted:
                parent.remove(child)
    for element in root.iter():
        attributes = element.attrib
        attributes.pop("style", None)
        for name in ("rx", "ry"):
            if attributes.get(name) == "0":
                del attributes[name]
        for name in ("x", "y", "width", "height"):
            if "." in attributes.get(name, ""):
                attributes[name] = _short(float(attributes[name]))
        classes = attributes.get("class", "").split()
        for name in classes:
            if name.startswith("color-"):
                key = keys[int(name.removeprefix("color-"))]
                attributes["class"] = " ".join([*classes, f"series--{key}"])


def _short(number: float) -> str:
    return f"{number:.1f}".removesuffix(".0")


def _escaped(text: str) -> str:
    """Return text as ElementTree writes it."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
