"""Charts that a page with a strict policy can show, and that say to everybody what they show."""

from __future__ import annotations

import json
from xml.etree import ElementTree

import pygal
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from api.dashboard.charts import (
    NARROW,
    NARROW_LABELS,
    WIDE,
    WIDE_LABELS,
    Chart,
    Drawing,
    Series,
    _options,
    stacked_bars,
)

NAMES = {"svg": "http://www.w3.org/2000/svg"}


def drawn(values: dict[str, list[float | None]]) -> Chart:
    count = len(next(iter(values.values())))
    series = [
        Series(key, key.upper(), points, [f"${point or 0:.2f}" for point in points]) for key, points in values.items()
    ]
    labels = [f"Nov {day}" for day in range(1, count + 1)]
    return stacked_bars("daily", "Cost <b>", 'of "all"', labels, series, axis=lambda value: f"${value:g}")


def bars(chart: Chart) -> list[ElementTree.Element]:
    return ElementTree.fromstring(chart.wide.svg).findall(".//svg:g[@class='bar']", NAMES)


def test_there_is_nothing_that_the_policy_refuses() -> None:
    chart = drawn({"sms": [1, 2, 3], "ai": [0.5, None, 0]})
    for drawing in (chart.wide, chart.narrow):
        for forbidden in ("<style", "<script", "style=", "http://pygal", "<!--", "<?xml"):
            assert forbidden not in drawing.svg, forbidden


def test_it_has_a_name_and_a_description() -> None:
    root = ElementTree.fromstring(drawn({"sms": [1]}).narrow.svg)
    assert root.get("role") == "img"
    named = [root.find(f".//*[@id='{name}']") for name in (root.get("aria-labelledby") or "").split()]
    assert [element.text for element in named if element is not None] == ["Cost <b>", 'of "all"']


def test_a_bar_says_its_figure_and_its_series() -> None:
    found = bars(drawn({"sms": [1, 2], "ai": [0.5, None]}))
    texts = [[part.text for part in bar.findall("svg:desc", NAMES)] for bar in found]
    assert [(parts[0], parts[3]) for parts in texts] == [("$1.00", "Nov 1"), ("$2.00", "Nov 2"), ("$0.50", "Nov 1")]
    svg = drawn({"sms": [1], "ai": [1]}).wide.svg
    assert "series--sms" in svg
    assert "series--ai" in svg


def test_bars_stand_on_each_other_and_are_as_high_as_their_values() -> None:
    one, two, top = (bar.find("svg:rect", NAMES) for bar in bars(drawn({"sms": [1, 2], "ai": [3, None]})))
    assert one is not None
    assert two is not None
    assert top is not None
    height = float(one.get("height", 0))
    assert float(two.get("height", 0)) == pytest.approx(2 * height, abs=0.2)
    assert float(top.get("height", 0)) == pytest.approx(3 * height, abs=0.2)
    assert float(top.get("y", 0)) + float(top.get("height", 0)) == pytest.approx(float(one.get("y", 0)), abs=0.2)


def test_days_without_anything_take_no_space() -> None:
    assert len(bars(drawn({"sms": [None, 0, 1]}))) == 1
    assert bars(drawn({"sms": [None, 0]})) == []


def test_the_newest_day_is_labelled_and_labels_do_not_crowd() -> None:
    root = ElementTree.fromstring(drawn({"sms": [1.0] * 90}).narrow.svg)
    axis = root.find(".//svg:g[@class='axis x']", NAMES)
    assert axis is not None
    labels = [text.text for text in axis.iter("{http://www.w3.org/2000/svg}text")]
    assert labels[-1] == "Nov 90"
    assert 2 <= len(labels) <= 4


def test_the_tooltip_script_is_told_size_and_names() -> None:
    chart = drawn({"sms": [1], "ai": [2]})
    config = json.loads(chart.wide.config)
    assert (config["width"], config["height"], config["legends"]) == (960, 260, ["SMS", "AI"])


def test_bars_too_thin_for_a_finger_have_no_tooltips() -> None:
    chart = drawn({"sms": [1.0] * 90})
    assert "tooltip-trigger" in chart.wide.svg
    assert "tooltip-trigger" not in chart.narrow.svg
    assert len(chart.narrow.svg) < len(chart.wide.svg) / 1.5
    assert "tooltip-trigger" in drawn({"sms": [1.0] * 30}).narrow.svg


amounts = st.one_of(
    st.none(),
    st.just(0),
    st.integers(1, 2_000),
    st.floats(-1, -0.001),
    st.floats(0.000001, 90_000).map(lambda amount: round(amount, 6)),
)


@st.composite
def stacks(draw: st.DrawFn) -> list[Series]:
    days = draw(st.sampled_from([1, 2, 7, 30, 31, 32, 90]))
    return [
        Series(f"key{index}", f"Label {index}", values, [f"<{value} & more>" for value in values])
        for index, values in enumerate(
            draw(st.lists(st.lists(amounts, min_size=days, max_size=days), min_size=1, max_size=3))
        )
    ]


@settings(max_examples=25, deadline=None)
@given(stacks())
def test_bars_are_pygals(series: list[Series]) -> None:
    labels = [f"Day {day}" for day in range(len(series[0].values))]
    chart = stacked_bars("daily", "title", "description", labels, series, axis=str)
    for drawing, size, most_labels in ((chart.wide, WIDE, WIDE_LABELS), (chart.narrow, NARROW, NARROW_LABELS)):
        ours, pygals = marks(drawing), marks_of_pygal(series, _options(size, most_labels, labels, str))
        if not any(name == "desc" for name, *_ in ours):
            pygals = [mark for mark in pygals if mark[0] != "desc"]
        assert ours == pygals


def marks_of_pygal(series: list[Series], options: dict[str, object]) -> list[tuple[object, ...]]:
    """Return the marks of the picture that pygal draws all by itself."""
    chart = pygal.StackedBar(**options)
    chart._adapters = ()
    for entry in series:
        chart.add(
            entry.label,
            [
                {"value": value, "formatter": lambda *_, text=text: text} if value else None
                for value, text in zip(entry.values, entry.texts, strict=True)
            ],
        )
    return marks(chart.render_tree())


def marks(picture: Drawing | ElementTree.Element) -> list[tuple[object, ...]]:
    """Return what a picture shows, in order: rectangles, lines and texts with their places."""
    root = ElementTree.fromstring(picture.svg) if isinstance(picture, Drawing) else picture
    (graph,) = (element for element in root.iter() if str(element.get("class")).startswith("graph "))
    found: list[tuple[object, ...]] = []
    for element in graph.iter():
        name = str(element.tag).rpartition("}")[2]
        kind = element.get("class", "").split(" ")[0]
        if name in ("rect", "text"):
            positions = [round(float(element.get(side, 0)), 1) + 0 for side in ("x", "y", "width", "height")]
            found.append((name, *positions, element.text))
        elif name == "path":
            found.append((name, element.get("d")))
        elif name == "desc":
            found.append(
                (name, kind, str(round(float(element.text or 0), 1) + 0) if kind in ("x", "y") else element.text)
            )
    return found
