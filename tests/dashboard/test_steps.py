"""Days, weeks and months of a range."""

from __future__ import annotations

from datetime import date, timedelta

import pytest

from api.dashboard.steps import spans_of, usual_grain
from api.kit.periods import DayRange

RANGE = DayRange(date(2026, 10, 28), date(2026, 11, 20))


def test_days() -> None:
    spans = spans_of(RANGE, "day")
    assert [span.first for span in spans] == RANGE.days()
    assert (spans[-1].label, spans[-1].name) == ("Nov 20", "Fri, Nov 20, 2026")


def test_weeks_begin_on_monday_and_end_with_the_range() -> None:
    spans = spans_of(RANGE, "week")
    assert [(span.label, len(span.days())) for span in spans] == [
        ("Oct 28", 5),
        ("Nov 2", 7),
        ("Nov 9", 7),
        ("Nov 16", 5),
    ]
    assert spans[0].name == "Week of October 28, 2026 – November 1, 2026"
    assert spans[1].name == "Week of November 2–8, 2026"


def test_months() -> None:
    assert [(span.label, span.name, len(span.days())) for span in spans_of(RANGE, "month")] == [
        ("Oct 2026", "October 2026", 4),
        ("Nov 2026", "November 2026", 20),
    ]


@pytest.mark.parametrize("grain", ["day", "week", "month"])
def test_each_day_is_in_one_of_them(grain: str) -> None:
    for length in (1, 6, 31, 366):
        days = DayRange(RANGE.first, RANGE.first + timedelta(days=length - 1))
        found = [day for span in spans_of(days, grain) for day in span.days()]  # type: ignore[arg-type]
        assert found == days.days()


def test_a_long_range_is_shown_in_weeks_unless_asked_otherwise() -> None:
    assert [
        usual_grain(DayRange(RANGE.first, RANGE.first + timedelta(days=count - 1))) for count in (1, 92, 93, 366)
    ] == [
        "day",
        "day",
        "week",
        "week",
    ]
