"""A month added up: the line, the band of what is expected, and the cap."""

from __future__ import annotations

import re

from api.dashboard.charts import Before, Cell, Chart, Outlook, Step, month_so_far
from api.dashboard.charts.drawing import HEIGHT
from api.dashboard.charts.scale import scale_of

OUTLOOK = Outlook(80, 100, 120, "100, between 80 and 120")


def month(values: list[float], outlook: Outlook | None = OUTLOOK, cap: float | None = None) -> Chart:
    return month_so_far(
        "usage",
        "SMS so far",
        "",
        [Step(f"Nov {index}", f"Nov {index}", Cell(f"{value:g}")) for index, value in enumerate(values, 1)],
        30,
        values,
        label="SMS so far",
        axis=lambda value: f"{value:g}",
        labels=[f"Nov {day}" for day in range(1, 31)],
        outlook=outlook,
        cap=cap,
        cap_text=f"{cap}",
    )


def paths(chart: Chart) -> dict[str, list[tuple[float, float]]]:
    """Return the points of each mark, by its kind; a V's x and an H's y are those of the point before."""
    found = {}
    for mark in chart.views[0].marks:
        points: list[tuple[float, float]] = []
        for letter, one, other in re.findall(r"([MLVH]) ?(-?[\d.]+)(?: (-?[\d.]+))?", mark.path):
            x = points[-1][0] if letter == "V" else float(one)
            y = points[-1][1] if letter == "H" else float(other or one)
            points.append((x, y))
        found[mark.kind] = points
    return found


def test_the_band_opens_from_the_last_day_to_the_interval_at_the_months_end() -> None:
    chart = month([10, 25, 40])
    scale = scale_of(0, 120)
    found = paths(chart)
    assert found["line"] == [(5, scale.y(10)), (15, scale.y(25)), (25, scale.y(40))]
    assert found["band"] == [(25, scale.y(40)), (295, scale.y(120)), (295, scale.y(80))]
    assert found["expected"] == [(25, scale.y(40)), (295, scale.y(100))]
    assert (found["area"][0], found["area"][-1]) == ((5, HEIGHT), (25, HEIGHT))
    assert [entry.kind for entry in chart.legend] == ["area", "band"]


def test_the_cap_is_a_line_over_the_whole_month() -> None:
    chart = month([10, 25], cap=150)
    assert paths(chart)["cap"] == [(0, scale_of(0, 150).y(150)), (300, scale_of(0, 150).y(150))]
    assert chart.legend[-1].label == "Cap"


def test_a_cap_far_above_is_told_and_does_not_press_the_line_flat() -> None:
    chart = month([10, 25], cap=100_000)
    assert "cap" not in paths(chart)
    assert (chart.legend[-1].label, chart.legend[-1].total) == ("Cap, far above", "100000")
    assert chart.views[0].levels[-1].text == "125"


def test_a_month_that_is_over_expects_nothing() -> None:
    found = paths(month([float(day) for day in range(30)], outlook=None))
    assert set(found) == {"area", "line"}
    assert set(paths(month([float(day) for day in range(30)]))) == {"area", "line"}


def test_the_table_has_each_day_so_far() -> None:
    chart = month([10, 25])
    assert [[cell.text for cell in row.cells] for row in chart.rows] == [["10"], ["25"]]
    assert not chart.has_total


def test_the_month_before_is_a_line_of_its_own_as_far_as_this_one_goes() -> None:
    days = [float(day * 10) for day in range(1, 32)]
    before = Before("October", days, [Cell(f"{value:g}") for value in days], "310")
    chart = month_so_far(
        "usage",
        "",
        "",
        [Step("Nov 1", "Nov 1", Cell("7"))],
        30,
        [7],
        label="November",
        axis=str,
        labels=[f"Nov {day}" for day in range(1, 31)],
        before=before,
    )
    # Of October's 31 days those that November has; the scale holds them.
    line = paths(chart)["before"]
    assert (len(line), line[-1]) == (30, (295, scale_of(0, 300).y(300)))
    assert [(entry.kind, entry.label, entry.total) for entry in chart.legend][-1] == ("before", "October", "310")
    assert [column.label for column in chart.columns] == ["November", "October"]
    assert [cell.text for cell in chart.rows[0].cells] == ["7", "10"]
