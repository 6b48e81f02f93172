"""What `chart.html` writes: a picture that the policy lets through, with words for those who do not see it, and a table of all of it."""

from __future__ import annotations

import re
from xml.etree import ElementTree

import pytest

from api.dashboard.charts import Cell, Chart, Gap, Series, Step, stacked_bars
from api.dashboard.rendering import build_environment

CALL = '{% from "chart.html" import chart with context %}{{ chart(drawn) }}'


def chart(count: int = 3) -> Chart:
    steps = [Step(f"Nov {day}", f"Sun, Nov {day}", Cell("$3.00", "3", f"total.{day}"), "Final") for day in range(count)]
    series = [
        Series(
            "sms", "SMS <b>", [1.0] * count, [Cell("$1.00", "1", f"sms.{day}", "7", f"n.{day}") for day in range(count)]
        ),
        Series("ai", "AI", [2.0] * count, [Cell("$2.00", "2", f"ai.{day}") for day in range(count)], "$6.00", "tokens"),
    ]
    gaps = [Gap("sms", 0, 0, "no_answer"), Gap("ai", 0, 0, "no_answer"), Gap("ai", 2, 2, "not_metered")]
    return stacked_bars("usage", "Cost per day", 'Of "all".', steps, series, axis=str, gaps=gaps)


def written(drawn: Chart) -> str:
    return build_environment().from_string(CALL).render(drawn=drawn, root_path="")


@pytest.fixture(scope="module")
def figure() -> ElementTree.Element:
    html = written(chart())
    assert re.search(r"style=|<style|<script|onclick", html) is None, "the policy refuses it"
    # As XML it is well-formed but for attributes without a value.
    return ElementTree.fromstring(re.sub(r" (hidden|data-chart|data-total|data-state)(?=[ >])", r' \1=""', html))


def test_it_is_an_image_with_words_and_the_rest_of_it_is_for_eyes(figure: ElementTree.Element) -> None:
    (image,) = figure.findall(".//*[@role='img']")
    assert image.get("aria-label") == 'Cost per day. Of "all".'
    assert all(svg.get("aria-hidden") == "true" for svg in image.findall("svg"))


def test_only_the_view_of_all_is_seen_without_a_script(figure: ElementTree.Element) -> None:
    views = [(group.get("data-view"), group.get("hidden")) for group in figure.iter("g")]
    assert views == 2 * [("", None), ("sms", ""), ("ai", "")]


def test_what_is_not_known_is_hatched(figure: ElementTree.Element) -> None:
    shown = next(group for group in figure.iter("g") if group.find("rect") is not None)
    fills = [(rect.get("fill"), rect.get("height"), rect.get("x")) for rect in shown.findall("rect")]
    assert fills == [("url(#usage-no_answer)", "220", "0%"), ("url(#usage-not_metered)", "6", "66.67%")]
    assert {pattern.get("id") for pattern in figure.iter("pattern")} == {"usage-no_answer", "usage-not_metered"}


def test_every_figure_stands_in_the_table(figure: ElementTree.Element) -> None:
    heads = ["".join(head.itertext()) for head in figure.iter("th") if head.get("scope") == "col"]
    assert heads == ["Day", "SMS <b>", "AItokens", "Total", "State"]
    fields = {cell.get("data-field"): "".join(cell.itertext()) for cell in figure.iter() if cell.get("data-field")}
    assert fields == {
        **{f"sms.{day}": "$1.00" for day in range(3)},
        **{f"n.{day}": "7" for day in range(3)},
        **{f"ai.{day}": "$2.00" for day in range(3)},
        **{f"total.{day}": "$3.00" for day in range(3)},
    }


def test_a_year_of_everything_is_light() -> None:
    series = [
        Series(str(number), "Label", [float(day % 7 + number) for day in range(366)], [Cell("")] * 366)
        for number in range(12)
    ]
    drawn = stacked_bars("usage", "t", "s", [Step("Nov 1", "n", Cell(""))] * 366, series, axis=str)
    picture = written(drawn).partition("<details")[0]
    assert len(picture) < 150_000
