"""What a month will come to, and when a cap will be reached.

What belongs here: the forecast by weekdays. Days and quantities in, days and quantities out. (The contract's projection, at the pace
of the complete days, is `tenant_monthly`'s.)

The forecast says that a day's usage is `level × factor of its weekday`, with a scatter in proportion to its size, and that
the level itself wanders from week to week. All of it is estimated from the complete days before today, the recent ones
counting more. What is still to come until day d is then a sum with a known mean and variance; its quantiles are those of a
log-normal of that mean and variance. Usage only grows within a month, so "the cap is reached by d" and "the sum until d is
at least what is left of the cap" are one event: its probability gives the date and the interval around it.

Quantities are exact going in; what is estimated is computed in binary floating point and handed back with six decimals: an
estimate has no more.
"""

from __future__ import annotations

from calendar import monthrange
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from functools import cached_property
from itertools import accumulate, pairwise
from math import exp, log, sqrt
from statistics import NormalDist

# Calibrated on the tuning months of bench/forecasts.py, judged on its held-out months.
HISTORY_DAYS = 84
HALF_LIFE_DAYS = 11.0
WEEKDAY_PRIOR = 1.0  # as if each weekday had been seen this often without any pattern
SCATTER_PRIOR = 0.4  # a day's relative scatter where there is little history
SCATTER_PRIOR_DAYS = 5.0
DRIFT_PRIOR = 0.06  # a week's relative change of level where there is little history
DRIFT_PRIOR_WEEKS = 4.0

INTERVAL = Decimal("0.8")
LOW, MIDDLE, HIGH = 0.1, 0.5, 0.9

_NORMAL = NormalDist()
_SIX_PLACES = Decimal("0.000001")
_NOTHING = 1e-7  # less than the last decimal that is handed back


@dataclass(frozen=True)
class Days:
    """Usage of one thing on consecutive days up to yesterday, and so far today.

    Attributes:
        today: the as-of day.
        before: one value per day, the last of them yesterday's; empty where nothing is known. Quiet days are 0.
        so_far: what is counted for today.
        rest_of_today: the part of today that is still to come, 0 … 1.
    """

    today: date
    before: Sequence[Decimal]
    so_far: Decimal = Decimal(0)
    rest_of_today: float = 1.0

    def month_to_date(self) -> Decimal:
        """Return what this month has used, today included."""
        return self.so_far + sum(self._of_month(), Decimal(0))

    def day_of_reaching(self, amount: Decimal) -> date | None:
        """Return the first day of this month by whose end ``amount`` was used; None if it is not yet."""
        if amount <= 0:
            return self.today.replace(day=1)
        first = self.today - timedelta(days=len(self._of_month()))
        for number, used in enumerate(accumulate([*self._of_month(), self.so_far])):
            if used >= amount:
                return first + timedelta(days=number)
        return None

    @cached_property
    def ahead(self) -> list[Ahead] | None:
        """What comes until the end of today and of each later day of the month; None without a complete day."""
        return _ahead(self)

    def _of_month(self) -> Sequence[Decimal]:
        complete = self.today.day - 1
        return self.before[-complete:] if complete else []


@dataclass(frozen=True)
class Forecast:
    """What a month will have used at its end: expected, and the bounds of an 80 % interval, in the unit of the usage."""

    expected: Decimal
    low: Decimal
    high: Decimal


@dataclass(frozen=True)
class CapForecast:
    """When a cap is reached this month.

    Attributes:
        earliest, likely, latest: days by which it is reached with 10, 50 and 90 %; None: not within this month. All three
            are the day itself where it has been reached.
        probability: that it is reached before the month ends, 0 … 1.
        is_reached: it has happened.
    """

    earliest: date | None
    likely: date | None
    latest: date | None
    probability: Decimal
    is_reached: bool = False


@dataclass(frozen=True)
class _Model:
    """The level of a day, what each weekday is of it, and the relative variances of a day, the level and its drift."""

    level: float
    factors: tuple[float, ...]
    scatter: float
    uncertainty: float
    drift: float


@dataclass(frozen=True)
class Ahead:
    """Mean and variance of what comes from now until a day's end."""

    day: date
    mean: float
    variance: float

    def quantile(self, probability: float) -> float:
        """Return what it stays below with ``probability``."""
        if self.mean < _NOTHING:
            return 0.0
        mu, sigma = self._log_normal()
        return exp(mu + sigma * _NORMAL.inv_cdf(probability))

    def reaches(self, amount: float) -> float:
        """Return the probability that it is at least ``amount``."""
        if amount <= 0:
            return 1.0
        if self.mean < _NOTHING:
            return 0.0
        mu, sigma = self._log_normal()
        return 1 - _NORMAL.cdf((log(amount) - mu) / sigma) if sigma > 0 else float(self.mean >= amount)

    def _log_normal(self) -> tuple[float, float]:
        squared = log(1 + self.variance / self.mean**2)
        return log(self.mean) - squared / 2, sqrt(squared)


def days_of_month(day: date) -> int:
    """Return how many days ``day``'s month has."""
    return monthrange(day.year, day.month)[1]


def forecast(days: Days) -> Forecast | None:
    """Return what the month will have used at its end; None without a complete day to judge by."""
    ahead = days.ahead
    if ahead is None:
        return None
    used = days.month_to_date()
    end = ahead[-1]
    return Forecast(used + _rounded(end.mean), used + _rounded(end.quantile(LOW)), used + _rounded(end.quantile(HIGH)))


def cap_forecast(days: Days, cap: Decimal) -> CapForecast | None:
    """Return when ``cap`` is reached this month (used >= cap); None without a complete day to judge by.

    A cap that has been reached is not a forecast, and needs none. A cap of 0 is reached on the first of the month.
    """
    reached = days.day_of_reaching(cap)
    if reached is not None:
        return CapForecast(reached, reached, reached, Decimal(1), is_reached=True)
    ahead = days.ahead
    if ahead is None:
        return None
    left = float(cap - days.month_to_date())
    chances = [(until.day, until.reaches(left)) for until in ahead]

    def first_day(probability: float) -> date | None:
        return next((day for day, chance in chances if chance >= probability), None)

    return CapForecast(
        first_day(LOW), first_day(MIDDLE), first_day(HIGH), _rounded(max(chance for _, chance in chances))
    )


def _rounded(value: float) -> Decimal:
    return Decimal(value).quantize(_SIX_PLACES)


def _ahead(days: Days) -> list[Ahead] | None:
    """Return what comes until the end of today and of each later day of the month; None without history."""
    model = _fit(days)
    if model is None:
        return None
    result = []
    mean = squares = 0.0
    last = days.today.replace(day=days_of_month(days.today))
    for number in range((last - days.today).days + 1):
        day = days.today + timedelta(days=number)
        part = days.rest_of_today if number == 0 else 1.0
        expected = model.level * model.factors[day.weekday()] * part
        mean += expected
        # The rest of a day scatters like independent hours: its variance shrinks with its length, not with the square.
        squares += expected * expected / part if part > 0 else 0.0
        weeks = (number + 1) / 7
        variance = model.scatter * squares + mean * mean * (model.uncertainty + model.drift * weeks / 3)
        result.append(Ahead(day, mean, variance))
    return result


def _fit(days: Days) -> _Model | None:
    values = [float(value) for value in days.before[-HISTORY_DAYS:]]
    if not values:
        return None
    ages = range(len(values), 0, -1)
    weekdays = [(days.today - timedelta(days=age)).weekday() for age in ages]
    weights = [0.5 ** (age / HALF_LIFE_DAYS) for age in ages]
    factors = _factors(values, weekdays)
    expected = [factors[weekday] for weekday in weekdays]
    level = _dot(weights, values) / _dot(weights, expected) if any(expected) else 0.0
    if level < _NOTHING:
        return _Model(0.0, factors, 0.0, 0.0, 0.0)
    drift = _drift(values, weekdays, factors)
    # The scatter is around a level that moves: compare each day with the level of the days around it.
    local = _local_levels(values, expected)
    misses = [
        weight * (value - here * factor) ** 2
        for weight, value, here, factor in zip(weights, values, local, expected, strict=True)
    ]
    sizes = [weight * (here * factor) ** 2 for weight, here, factor in zip(weights, local, expected, strict=True)]
    seen = sum(weights) ** 2 / _dot(weights, weights)
    whole = sum(sizes) or 1.0
    scatter = (sum(misses) / whole * seen + SCATTER_PRIOR**2 * SCATTER_PRIOR_DAYS) / (seen + SCATTER_PRIOR_DAYS)
    uncertainty = scatter / seen + drift * _mean_age(weights) / 7 / 3
    return _Model(level, factors, scatter, uncertainty, drift)


def _dot(left: Sequence[float], right: Sequence[float]) -> float:
    return sum(one * other for one, other in zip(left, right, strict=True))


def _mean_age(weights: Sequence[float]) -> float:
    return _dot(weights, range(len(weights), 0, -1)) / sum(weights)


def _factors(values: Sequence[float], weekdays: Sequence[int]) -> tuple[float, ...]:
    """Return what each weekday is of the mean day, drawn towards 1 where it was seen seldom."""
    mean = sum(values) / len(values)
    if mean <= 0:
        return (1.0,) * 7
    factors = []
    for weekday in range(7):
        of_day = [value / mean for value, which in zip(values, weekdays, strict=True) if which == weekday]
        factors.append((sum(of_day) + WEEKDAY_PRIOR) / (len(of_day) + WEEKDAY_PRIOR))
    scale = 7 / sum(factors)
    return tuple(factor * scale for factor in factors)


def _local_levels(values: Sequence[float], expected: Sequence[float], reach: int = 10) -> list[float]:
    """Return the level around each day: of the days up to ``reach`` before and after it."""
    levels = []
    for number in range(len(values)):
        around = slice(max(0, number - reach), number + reach + 1)
        levels.append(sum(values[around]) / (sum(expected[around]) or 1.0))
    return levels


def _drift(values: Sequence[float], weekdays: Sequence[int], factors: Sequence[float]) -> float:
    """Return the relative variance of a week's level against the week before, beyond what scatter explains."""
    weeks = [values[end - 7 : end] for end in range(len(values), 6, -7)]
    sums = [sum(week) for week in weeks]
    changes = [
        ((later - earlier) / ((later + earlier) / 2)) ** 2 for later, earlier in pairwise(sums) if later + earlier > 0
    ]
    # Scatter alone makes two weeks differ; inside a week it shows as the days' deviation from the week's own level.
    noise = []
    for number, week in enumerate(weeks):
        end = len(values) - 7 * number
        pattern = [factors[weekday] for weekday in weekdays[end - 7 : end]]
        if sums[number] > 0:
            level = sums[number] / sum(pattern)
            noise.append(
                sum((value - level * factor) ** 2 for value, factor in zip(week, pattern, strict=True))
                * 7
                / 6
                / sums[number] ** 2
            )
    scatter = 2 * sum(noise) / len(noise) if noise else 0.0
    measured = max(sum(changes) / len(changes) - scatter, 0.0) if changes else 0.0
    return (measured * len(changes) + DRIFT_PRIOR**2 * DRIFT_PRIOR_WEEKS) / (len(changes) + DRIFT_PRIOR_WEEKS)
