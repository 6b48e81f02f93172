"""Months and days as query parameters: what the calendar cannot hold is refused, never computed with."""

from __future__ import annotations

from datetime import date

import pytest

from api.kit.periods import parse_day, parse_month, parse_range
from api.kit.problems import InvalidInput

TODAY = date(2026, 11, 28)


@pytest.mark.parametrize("text", ["0000-01", "0001-01", "1969-12", "2026-00", "2026-13", "2026-1", "last", "2026-12"])
def test_a_month_that_cannot_be_asked_for(text: str) -> None:
    with pytest.raises(InvalidInput):
        parse_month(text, today=TODAY, field="period")


@pytest.mark.parametrize("text", ["0001-01-01", "1969-12-31", "2026-02-30", "20261128", "2026-11-29", ""])
def test_a_day_that_cannot_be_asked_for(text: str) -> None:
    with pytest.raises(InvalidInput):
        parse_day(text, today=TODAY, field="from")


@pytest.mark.parametrize("text", ["0d", "367d", "9999d", "30", "-1d", "30 d"])
def test_a_range_that_cannot_be_asked_for(text: str) -> None:
    with pytest.raises(InvalidInput):
        parse_range(text, today=TODAY)


def test_what_can_be() -> None:
    assert parse_month("1970-01", today=TODAY, field="period").first == date(1970, 1, 1)
    assert parse_month("current", today=TODAY, field="period").first == date(2026, 11, 1)
    assert parse_day("2026-11-28", today=TODAY, field="from") == TODAY
    assert parse_range("30d", today=TODAY).first == date(2026, 10, 30)
