"""The one window type, half-open and in UTC days."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta

from usage_metering.failures import ConfigError

DEFAULT_LOOKBACK_DAYS = 3
MAX_LOOKBACK_DAYS = 366
LOOKBACK_RULE = f"a whole number of days from 0 to {MAX_LOOKBACK_DAYS}"


@dataclass(frozen=True)
class Window:
    """UTC days from ``start`` (included) to ``end`` (excluded); never empty.

    Raises:
        ValueError: ``end`` is not after ``start``.
    """

    start: date
    end: date

    def __post_init__(self) -> None:
        if self.end <= self.start:
            raise ValueError(f"a window must end after its start, not [{self.start}, {self.end})")

    @classmethod
    def of_days(cls, first: date, last: date) -> Window:
        """Return the window of ``first`` … ``last``, both included."""
        return cls(first, last + timedelta(days=1))

    def days(self) -> list[date]:
        """Return every day of the window, in order."""
        return [self.start + timedelta(days=offset) for offset in range((self.end - self.start).days)]

    def chunks(self, days: int) -> Iterator[Window]:
        """Yield the window in parts of at most ``days`` days, in order."""
        start = self.start
        while start < self.end:
            end = min(start + timedelta(days=days), self.end)
            yield Window(start, end)
            start = end

    @property
    def start_at(self) -> datetime:
        """The first instant inside."""
        return midnight(self.start)

    @property
    def end_at(self) -> datetime:
        """The first instant outside."""
        return midnight(self.end)

    def __contains__(self, day: object) -> bool:
        return isinstance(day, date) and self.start <= day < self.end

    def __str__(self) -> str:
        return f"[{self.start}, {self.end})"


def lookback_days(environ: Mapping[str, str] = os.environ) -> int:
    """Return METERING_LOOKBACK_DAYS: how many trailing days may still change.

    Raises:
        ConfigError: no whole number of 0 to 366.
    """
    text = environ.get("METERING_LOOKBACK_DAYS", "").strip() or str(DEFAULT_LOOKBACK_DAYS)
    if not text.isdecimal() or int(text) > MAX_LOOKBACK_DAYS:
        raise ConfigError(f"METERING_LOOKBACK_DAYS must be {LOOKBACK_RULE}")
    return int(text)


def midnight(day: date) -> datetime:
    """Return the instant at which a UTC day begins."""
    return datetime.combine(day, time(), tzinfo=UTC)
