"""Is a day unusual for what it is? Weekday by weekday, by medians, which a few odd days do not move."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from math import log1p, sqrt
from statistics import median

HISTORY_DAYS = 56
FEWEST_DAYS = 21
"""Three of each weekday: with less nobody knows what is usual."""
FEWEST_OF_WEEKDAY = 3
MAD_TO_SIGMA = 1.4826
"""A normal distribution's standard deviation is this many times its median absolute deviation."""
THRESHOLD = 5.0
LEAST_RATIO = 1.5
LEAST_NOISE = 0.1
"""Usage that never varied is not known to this precision all the same."""


@dataclass(frozen=True)
class Anomaly:
    """A day with unusually much.

    Attributes:
        expected: the median of its weekday, in the units of ``value``.
        score: how many (robust) standard deviations it is above that.
    """

    day: date
    value: float
    expected: float
    score: float


@dataclass(frozen=True)
class Cause:
    """What contributed most to an anomaly: the part's key, and its usage above what is usual for it."""

    key: tuple[str, ...]
    excess: float


def find_anomaly(usage: Mapping[date, float], day: date, first: date) -> Anomaly | None:
    """Return what is unusual about ``day``, None where nothing is or too little is known.

    Args:
        usage: quantity by day; a day without one had none.
        first: the first day that is known; days before it are not taken as days without usage.
    """
    history = _history(day, first)
    if len(history) < FEWEST_DAYS:
        return None
    usual = _usual_by_weekday(usage, history)
    expected = usual.get(day.weekday())
    if expected is None:
        return None
    # Usage varies by factors, not by amounts: a busy weekday by more than a quiet one. Hence logarithms.
    deviations = [
        abs(_log(usage.get(past, 0.0)) - _log(usual[past.weekday()])) for past in history if usual.get(past.weekday())
    ]
    # What comes in ones and twos varies by its square root, as rare events do, however regular it has been.
    noise = max(MAD_TO_SIGMA * median(deviations) if deviations else 0.0, LEAST_NOISE, 1 / sqrt(max(expected, 1.0)))
    value = usage.get(day, 0.0)
    score = (_log(value) - _log(expected)) / noise
    if score < THRESHOLD or value < LEAST_RATIO * expected:
        return None
    return Anomaly(day, value, expected, score)


def find_cause(parts: Mapping[tuple[str, ...], Mapping[date, float]], day: date, first: date) -> Cause | None:
    """Return the part of the usage that exceeds its own usual amount most on ``day``; None without any."""
    history = _history(day, first)
    found: Cause | None = None
    for key in sorted(parts):
        usage = parts[key]
        excess = usage.get(day, 0.0) - _usual_by_weekday(usage, history).get(day.weekday(), 0.0)
        if found is None or excess > found.excess:
            found = Cause(key, excess)
    return found


def _log(quantity: float) -> float:
    # A day may come out below 0 where a residual takes back what was tracked too much.
    return log1p(max(quantity, 0.0))


def _history(day: date, first: date) -> list[date]:
    days = [day - timedelta(days=back) for back in range(1, HISTORY_DAYS + 1)]
    return [past for past in days if past >= first]


def _usual_by_weekday(usage: Mapping[date, float], history: Sequence[date]) -> dict[int, float]:
    by_weekday: dict[int, list[float]] = {}
    for past in history:
        by_weekday.setdefault(past.weekday(), []).append(usage.get(past, 0.0))
    return {weekday: median(values) for weekday, values in by_weekday.items() if len(values) >= FEWEST_OF_WEEKDAY}
