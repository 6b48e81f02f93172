"""Calendar months and ranges of days, and the query parameters that name them. Days are UTC."""

from __future__ import annotations

import re
from calendar import monthrange
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Literal

from api.kit.problems import InvalidInput

MAX_RANGE_DAYS = 366
Granularity = Literal["day", "week", "month"]

# Years from 1970 on: no provider existed before, and there is no day or month before year 1.
_MONTH = re.compile(r"(19[7-9]\d|[2-9]\d{3})-(\d{2})", re.ASCII)
_DAY = re.compile(r"(19[7-9]\d|[2-9]\d{3})-\d{2}-\d{2}", re.ASCII)
_RANGE = re.compile(r"(\d{1,3})d", re.ASCII)


@dataclass(frozen=True, slots=True, order=True)
class Month:
    """A calendar month; the bounds are days, both included."""

    first: date

    @classmethod
    def of(cls, day: date) -> Month:
        return cls(day.replace(day=1))

    @property
    def key(self) -> str:
        """The month as the marts write it: ``2026-11``."""
        return f"{self.first.year:04d}-{self.first.month:02d}"

    @property
    def last(self) -> date:
        return self.first.replace(day=monthrange(self.first.year, self.first.month)[1])

    @property
    def label(self) -> str:
        """The month for people: ``November 2026`` (English whatever the process's locale)."""
        return f"{MONTH_NAMES[self.first.month - 1]} {self.first.year}"


# Not `calendar`'s: those are the process's locale's.
MONTH_NAMES = (
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
)


@dataclass(frozen=True, slots=True)
class DayRange:
    """Days from ``first`` to ``last``, both included."""

    first: date
    last: date

    def days(self) -> list[date]:
        return [self.first + timedelta(days=offset) for offset in range((self.last - self.first).days + 1)]

    def parts(self, granularity: Granularity) -> list[DayRange]:
        """Return the range's days, weeks (from Monday) or months; the first and the last may be cut off by its ends."""
        starts = [day for day in self.days() if day == self.first or _begins(granularity, day)]
        ends = [*(start - timedelta(days=1) for start in starts[1:]), self.last]
        return [DayRange(first, last) for first, last in zip(starts, ends, strict=True)]

    @classmethod
    def trailing(cls, last: date, days: int) -> DayRange:
        """Return ``last`` and the days before it, ``days`` in all."""
        return cls(last - timedelta(days=days - 1), last)


def _begins(granularity: Granularity, day: date) -> bool:
    return granularity == "day" or (day.weekday() == 0 if granularity == "week" else day.day == 1)


def parse_month(text: str, *, today: date, field: str) -> Month:
    """Return the month that ``current`` or ``YYYY-MM`` names.

    Raises:
        InvalidInput: malformed, no such month, or a month that has not begun.
    """
    if text == "current":
        return Month.of(today)
    match = _MONTH.fullmatch(text)
    try:
        month = Month(date(int(match[1]), int(match[2]), 1)) if match else None
    except ValueError:
        month = None
    if month is None:
        raise InvalidInput(field, 'must be "current" or a month such as 2026-10')
    if month.first > today:
        raise InvalidInput(field, f"{text} is in the future (today is {today.isoformat()}, UTC)")
    return month


def parse_day(text: str, *, today: date, field: str) -> date:
    """Return the day that ``YYYY-MM-DD`` names.

    Raises:
        InvalidInput: malformed, no such day, or a day that has not begun.
    """
    try:
        day = date.fromisoformat(text) if _DAY.fullmatch(text) else None
    except ValueError:
        day = None
    if day is None:
        raise InvalidInput(field, "must be a day such as 2026-10-31")
    if day > today:
        raise InvalidInput(field, f"{text} is in the future (today is {today.isoformat()}, UTC)")
    return day


def parse_range(text: str, *, today: date) -> DayRange:
    """Return the days that ``30d`` names: today and the 29 days before.

    Raises:
        InvalidInput: malformed, no days, or more than `MAX_RANGE_DAYS`.
    """
    match = _RANGE.fullmatch(text)
    days = int(match[1]) if match else 0
    if not 1 <= days <= MAX_RANGE_DAYS:
        raise InvalidInput("range", f"must be a number of days such as 30d, at most {MAX_RANGE_DAYS}d")
    return DayRange.trailing(today, days)


def checked_days(first: date, last: date, *, first_field: str) -> DayRange:
    """Return the range of two days.

    Raises:
        InvalidInput: the first day is after the last, or the range is too long.
    """
    if first > last:
        raise InvalidInput(first_field, f"{first.isoformat()} is after {last.isoformat()}")
    if (last - first).days >= MAX_RANGE_DAYS:
        raise InvalidInput(first_field, f"the range is longer than {MAX_RANGE_DAYS} days")
    return DayRange(first, last)
