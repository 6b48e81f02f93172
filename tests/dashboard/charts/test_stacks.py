"""Bars on each other: where they stand, which are drawn together, and what is not known."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.dashboard.charts import Cell, Chart, Gap, Series, Step, stacked_bars, tones
from api.dashboard.charts.drawing import HEIGHT, SLOT, Mark, View
from api.dashboard.charts.scale import scale_of


def series(key: str, values: list[float | None]) -> Series:
    return Series(key, key.upper(), values, [Cell(str(value)) for value in values], f"{sum(v or 0 for v in values):g}")


def drawn(values: dict[str, list[float | None]], gaps: tuple[Gap, ...] = ()) -> Chart:
    count = len(next(iter(values.values())))
    steps = [Step(f"Nov {day}", f"November {day}", Cell("")) for day in range(1, count + 1)]
    given_series = [series(key, found) for key, found in values.items()]
    return stacked_bars("usage", "Cost", "of all", steps, given_series, axis=lambda value: f"${value:g}", gaps=gaps)


def bars(mark: Mark) -> dict[int, tuple[int, int]]:
    """Return the (start, end) of each bar of a path, by its step."""
    found = re.findall(r"M([\d.]+) (-?\d+)V(-?\d+)h[\d.]+V-?\d+z", mark.path)
    assert "".join(f"M{x} {start}V{end}h7.6V{start}z" for x, start, end in found) == mark.path
    return {int(float(x) // SLOT): (int(start), int(end)) for x, start, end in found}


def test_bars_stand_on_each_other_and_are_as_high_as_their_values() -> None:
    sms, ai = (bars(mark) for mark in drawn({"sms": [1, 2], "ai": [3, None]}).views[0].marks)
    assert sms[0][0] == sms[1][0] == HEIGHT
    assert ai[0][0] == sms[0][1], "on top of the first"
    heights = [start - end for start, end in (sms[0], sms[1], ai[0])]
    assert heights == [250, 500, 750], "of a plot up to 4"
    assert set(ai) == {0}, "nothing on a day without"


def test_what_is_below_zero_hangs_from_it() -> None:
    (mark, other) = drawn({"sms": [2, -1], "ai": [1, -1]}).views[0].marks
    first, second = bars(mark), bars(other)
    zero = first[0][0]
    assert first[1][0] == zero
    assert first[1][1] > zero
    assert second[1][0] == first[1][1], "under the first"


def test_each_series_has_a_view_of_its_own_at_its_own_scale() -> None:
    chart = drawn({"sms": [100, 200], "ai": [1, 2]})
    assert [view.key for view in chart.views] == ["", "sms", "ai"]
    alone = bars(chart.views[2].marks[0])
    assert alone[1] == (HEIGHT, 0), "as high as the plot"
    assert chart.views[2].levels[0].text == "$0"
    assert chart.views[2].levels[-1].text == "$2"


def test_one_series_needs_no_view_of_its_own() -> None:
    chart = drawn({"sms": [1]})
    assert [view.key for view in chart.views] == [""]
    assert not chart.has_total


def test_thin_ones_are_drawn_together_on_top_and_told_apart_in_the_table() -> None:
    values: dict[str, list[float | None]] = {f"s{index}": [10.0] for index in range(5)}
    chart = drawn({"thin": [0.1], **values, "thinner": [0.2]})
    assert [(entry.label, entry.tone) for entry in chart.legend][-1] == ("Other: THIN, THINNER", "other")
    assert [mark.tone for mark in chart.views[0].marks] == ["1", "2", "3", "4", "5", "other"]
    assert [column.key for column in chart.columns] == ["thin", *values, "thinner"]
    other = bars(chart.views[-1].marks[0])
    assert scale_of(0, 0.3).y(0.1 + 0.2) == other[0][1]


@pytest.mark.parametrize(
    ("sizes", "other"),
    [
        ([10, 10, 10], set()),
        ([100, 100, 1], set()),  # one alone is drawn as itself
        ([100, 100, 1, 1], {2, 3}),
        ([10] * 6, set()),
        ([10] * 7, {6}),
        ([1, 100, 90, 80, 70, 60, 50, 40], {0, 7}),
    ],
)
def test_which_are_thin(sizes: list[float], other: set[int]) -> None:
    found = tones([series(str(index), [size]) for index, size in enumerate(sizes)])
    assert {int(key) for key, tone in found.items() if tone == "other"} == other
    own = [tone for tone in found.values() if tone != "other"]
    assert own == [str(number) for number in range(1, len(own) + 1)], "in their order, each once"


class TestGaps:
    def bands(self, view: View) -> list[tuple[str, str, str, bool]]:
        return [(band.x, band.width, band.kind, band.is_strip) for band in view.bands]

    def test_full_where_nothing_is_known_and_a_strip_where_something_is(self) -> None:
        gaps = (
            Gap("sms", 0, 1, "not_metered"),
            Gap("ai", 1, 1, "no_answer"),
            Gap("ai", 3, 3, "no_answer"),
        )
        chart = drawn({"sms": [None, None, 1, 1], "ai": [1, None, 1, None]}, gaps)
        assert self.bands(chart.views[0]) == [
            ("0%", "25%", "not_metered", True),
            ("25%", "25%", "no_answer", False),
            ("75%", "25%", "no_answer", True),
        ]
        assert self.bands(chart.views[1]) == [("0%", "50%", "not_metered", False)]
        assert self.bands(chart.views[2]) == [("25%", "25%", "no_answer", False), ("75%", "25%", "no_answer", False)]

    def test_a_step_in_which_nothing_is_drawn_is_full_too(self) -> None:
        chart = drawn({"sms": [None, 1], "ai": [0, None]}, (Gap("sms", 0, 1, "not_metered"),))
        assert self.bands(chart.views[0]) == [("0%", "50%", "not_metered", False), ("50%", "50%", "not_metered", True)]

    def test_the_legend_says_which_there_are(self) -> None:
        chart = drawn({"sms": [1, 1]}, (Gap("sms", 0, 0, "no_answer"),))
        assert [(entry.kind, entry.label) for entry in chart.legend][1:] == [("no_answer", "No answer yet")]
        assert len(drawn({"sms": [1, 1]}).legend) == 1


@given(
    st.lists(
        st.lists(st.one_of(st.none(), st.floats(-1e6, 1e6)), min_size=3, max_size=3),
        min_size=1,
        max_size=9,
    )
)
def test_nothing_leaves_the_plot(values: list[list[float | None]]) -> None:
    chart = drawn({str(index): found for index, found in enumerate(values)})
    for view in chart.views:
        for mark in view.marks:
            for start, end in bars(mark).values():
                assert -1 <= start <= HEIGHT + 1
                assert -1 <= end <= HEIGHT + 1


def test_the_newest_step_is_labelled_and_labels_do_not_crowd() -> None:
    ticks = drawn({"sms": [1.0] * 90}).ticks
    assert ticks[-1].text == "Nov 90"
    assert ticks[-1].at_end
    assert not ticks[-1].is_minor
    assert len(ticks) <= 10
    assert 2 <= len([tick for tick in ticks if not tick.is_minor]) <= 4
    assert [tick.at for tick in drawn({"sms": [1.0] * 2}).ticks] == ["25%", "75%"]
