"""Days, weeks (from Monday) and months of a range, as charts and tables show them. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

from api.dashboard import formats
from api.kit.periods import DayRange, Granularity

# More bars than this are too thin to be pointed at on a phone.
MOST_DAYS = 92


def usual_grain(days: DayRange) -> Granularity:
    """Return what a range is shown in unless asked otherwise."""
    return "day" if len(days.days()) <= MOST_DAYS else "week"


@dataclass(frozen=True, slots=True)
class Span:
    """A day, week or month, as far as it lies in the range; both days are included."""

    first: date
    last: date
    label: str
    name: str

    def days(self) -> list[date]:
        return DayRange(self.first, self.last).days()


def spans_of(days: DayRange, grain: Granularity) -> list[Span]:
    """Return the range in steps of a grain, the oldest first."""
    return [Span(part.first, part.last, *_words(part.first, part.last, grain)) for part in days.parts(grain)]


def _words(first: date, last: date, grain: Granularity) -> tuple[str, str]:
    """Return how a step is called below a plot, and in full."""
    if grain == "day":
        return formats.short_day(first), formats.weekday(first)
    if grain == "month":
        label = formats.month(first)
        return f"{label[:3]} {first.year}", label
    return formats.short_day(first), f"Week of {formats.period(first, last)}"
