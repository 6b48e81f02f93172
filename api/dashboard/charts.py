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
    """pygal's, without what it does for printed values and error bars, which we have none of: half its time."""

    # A day without anything has no bar, and so no markup: pygal would make it a zero.
    _adapters: tuple[Any, ...] = ()

    def __getattribute__(self, name: str) -> Any:
        # As pygal's: options of the drawing in progress come first. It asks for them 180,000 times for a quarter.
        own = object.__getattribute__(self, "__dict__")
        state = own.get("state")
        if state is not None and name[:2] != "__" and name != "state" and name in state.__dict__:
            return state.__dict__[name]
        return object.__getattribute__(self, name)

    def _static_value(self, *_: Any, **__: Any) -> None:
        return None

    def _confidence_interval(self, *_: Any, **__: Any) -> None:
        return None


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
    step = max(1, -(-len(labels) // most_labels))
    chart = _StackedBars(
        width=width,
        height=height,
        js=(),
        css=(),
        show_legend=False,
        margin=4,
        margin_right=8,
        spacing=6,
        style=Style(font_family="inherit", label_font_size=11, major_label_font_size=11),
        value_formatter=axis,
        x_labels=labels,
        # Counted from the newest: today is always labelled.
        x_labels_major=[label for index, label in enumerate(reversed(labels)) if index % step == 0],
        show_minor_x_labels=False,
        truncate_label=-1,
        y_labels_major_every=1,
        min_scale=2,
        max_scale=AXIS_LABELS,
        include_x_axis=True,
        tooltip_fancy_mode=True,
    )
    for entry in series:
        chart.add(
            entry.label,
            [
                {"value": value, "formatter": _constant(text)} if value else None
                for value, text in zip(entry.values, entry.texts, strict=True)
            ],
        )
    root = chart.render_tree()
    _clean(root, [entry.key for entry in series], tooltips=width > NARROW[0] or len(labels) <= MOST_TAPPED)
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
    return Drawing(Markup(ElementTree.tostring(root, encoding="unicode")), json.dumps(config))


def _constant(text: str) -> Callable[..., str]:
    return lambda *_: text


def _clean(root: Any, keys: Sequence[str], *, tooltips: bool) -> None:
    """Take out what the page's policy refuses, and shorten what is left."""
    unwanted = {"style", "script", "defs", "title"} | (set() if tooltips else {"desc"})
    for parent in root.iter():
        for child in list(parent):
            # A comment's or processing instruction's tag is a function.
            if not isinstance(child.tag, str) or child.tag in unwanted:
                parent.remove(child)
            elif not tooltips and "reactive" in child.get("class", ""):
                del child.attrib["class"]
    for element in root.iter():
        attributes = element.attrib
        attributes.pop("style", None)
        for name in ("rx", "ry"):
            if attributes.get(name) == "0":
                del attributes[name]
        for name in ("x", "y", "width", "height"):
            if "." in attributes.get(name, ""):
                attributes[name] = _short(attributes[name])
        if element.tag == "desc" and element.text and element.get("class", "").split(" ")[0] in ("x", "y"):
            element.text = _short(element.text)
        classes = attributes.get("class", "").split()
        for name in classes:
            if name.startswith("color-"):
                key = keys[int(name.removeprefix("color-"))]
                attributes["class"] = " ".join([*classes, f"series--{key}"])


def _short(number: str) -> str:
    try:
        return f"{float(number):.1f}".removesuffix(".0")
    except ValueError:
        return number
