"""Days, weeks (from Monday) and months of a range, as charts and tables show them. Pure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Literal

from api.dashboard import formats
from api.kit.periods import DayRange, Month

Grain = Literal["day", "week", "month"]


# More bars than this are too thin to be pointed at on a phone.
MOST_DAYS = 92


def usual_grain(days: DayRange) -> Grain:
    """Return what a range is shown in unless asked otherwise."""
    return "day" if len(days.days()) <= MOST_DAYS else "week"


@dataclass(frozen=True, slots=True)
class Span:
    """A day, week or month, as far as it lies in the range; both days are included. ``is_whole``: all of it does."""

    first: date
    last: date
    label: str
    name: str
    is_whole: bool

    def days(self) -> list[date]:
        return DayRange(self.first, self.last).days()


def spans_of(days: DayRange, grain: Grain) -> list[Span]:
    """Return the range in steps of a grain, the oldest first."""
    spans, first = [], days.first
    while first <= days.last:
        begin, end = BOUNDS[grain](first)
        last = min(end, days.last)
        label, name = _words(first, last, grain)
        spans.append(Span(first, last, label, name, is_whole=(first, last) == (begin, end)))
        first = last + timedelta(days=1)
    return spans


def _week(day: date) -> tuple[date, date]:
    monday = day - timedelta(days=day.weekday())
    return monday, monday + timedelta(days=6)


def _month(day: date) -> tuple[date, date]:
    month = Month.of(day)
    return month.first, month.last


BOUNDS: dict[Grain, Callable[[date], tuple[date, date]]] = {
    "day": lambda day: (day, day),
    "week": _week,
    "month": _month,
}


def _words(first: date, last: date, grain: Grain) -> tuple[str, str]:
    """Return how a step is called below a plot, and in full."""
    if grain == "day":
        return formats.short_day(first), formats.weekday(first)
    if grain == "month":
        label = formats.month(first)
        return f"{label[:3]} {first.year}", label
    return formats.short_day(first), f"Week of {formats.period(first, last)}"
