"""Charts that a page with a strict policy can show, and that say to everybody what they show."""

from __future__ import annotations

import json
from xml.etree import ElementTree

import pytest

from api.dashboard.charts import Chart, Series, stacked_bars

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
