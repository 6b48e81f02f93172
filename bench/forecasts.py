"""How good the forecast is: made-up tenants whose last month is held out, against the projection of complete days.

The method's constants were chosen on the tenants of the `TUNING` seeds in the `TUNING_MONTHS`; what is printed is about the
`HELD_OUT` ones, which are other tenants at other levels in other months.
"""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from decimal import Decimal

from bench.report import Ratio, at_least, at_most
from costs.rules.forecast import HISTORY_DAYS, Days, cap_forecast, days_of_month, forecast

TUNING = range(1_000, 1_040)
HELD_OUT = range(40)
TUNING_MONTHS = [date(2026, number, 1) for number in (4, 5, 6, 7)]
HELD_OUT_MONTHS = [date(2026, number, 1) for number in (2, 8, 9, 10, 11)]
ORIGINS = (2, 5, 10, 15, 20, 25)
OFFICE = (1.0, 1.1, 1.05, 1.0, 0.9, 0.4, 0.25)
SHOP = (0.8, 0.8, 0.9, 1.0, 1.3, 1.5, 0.9)
EVERY_DAY = (1.0,) * 7


@dataclass(frozen=True)
class Tenant:
    """A made-up tenant's units per day, from its first day on."""

    kind: str
    first: date
    units: list[int]

    def of(self, first: date, last: date) -> list[int]:
        """Return the days ``first`` … ``last``, both included; fewer where the tenant begins later."""
        begin = max((first - self.first).days, 0)
        return self.units[begin : (last - self.first).days + 1]


Level = Callable[[random.Random, float, int, int], float]


def _kept(_: random.Random, level: float, __: int, ___: int) -> float:
    return level


def _growing(_: random.Random, level: float, __: int, ___: int) -> float:
    return level * 1.004


def _shrinking(_: random.Random, level: float, __: int, ___: int) -> float:
    return level * 0.996


def _wandering(chance: random.Random, level: float, number: int, _: int) -> float:
    return level * chance.lognormvariate(0, 0.12) if number % 7 == 0 else level


def _stepping(chance: random.Random, level: float, _: int, __: int) -> float:
    return level * chance.choice((0.6, 1.7)) if chance.random() < 1 / 60 else level


@dataclass(frozen=True)
class Kind:
    """How a tenant uses something: its week, how its level moves, how much a day scatters, how often it has a campaign."""

    week: tuple[float, ...] = OFFICE
    level: Level = _kept
    scatter: float = 0.25
    campaign: float = 0.0
    quiet: float = 0.0
    days: int | None = None


KINDS = {
    "office": Kind(),
    "shop": Kind(week=SHOP, scatter=0.35),
    "every day": Kind(week=EVERY_DAY, scatter=0.15),
    "growing": Kind(level=_growing),
    "shrinking": Kind(level=_shrinking),
    "wandering": Kind(level=_wandering),
    "stepping": Kind(level=_stepping),
    "campaigns": Kind(week=SHOP, campaign=0.1),
    "now and then": Kind(week=EVERY_DAY, quiet=0.6, scatter=0.8),
    "new": Kind(days=20, scatter=0.4),
}


def tenant(kind: str, seed: int, end: date) -> Tenant:
    """Return a made-up tenant whose days go to ``end``, included. The same for the same seed."""
    chance = random.Random(f"{kind}-{seed}")
    made = KINDS[kind]
    days = made.days + end.day if made.days else 150
    first = end - timedelta(days=days - 1)
    level = chance.lognormvariate(5, 1.2)
    units = []
    for number in range(days):
        level = made.level(chance, level, number, days)
        mean = level * made.week[(first + timedelta(days=number)).weekday()]
        if chance.random() < made.campaign:
            mean *= chance.uniform(3, 6)
        shape = 1 / made.scatter**2
        drawn = 0.0 if chance.random() < made.quiet else chance.gammavariate(shape, mean / shape)
        units.append(round(drawn))
    return Tenant(kind, first, units)


@dataclass
class Tally:
    """What the forecasts of some tenants were worth."""

    totals: int = 0
    totals_inside: int = 0
    caps: int = 0
    caps_inside: int = 0
    miss: float = 0.0
    naive_miss: float = 0.0
    actual: float = 0.0
    width: float = 0.0
    brier: float = 0.0
    by_kind: dict[str, Tally] = field(default_factory=dict)

    def coverage(self) -> float:
        """Return the part of months whose total was inside its interval."""
        return self.totals_inside / self.totals

    def cap_coverage(self) -> float:
        """Return the part of caps that were reached inside their interval (or, rightly, not this month)."""
        return self.caps_inside / self.caps

    def error(self) -> float:
        """Return the forecast's absolute error over the projection's."""
        return self.miss / self.naive_miss


def backtest(seeds: range, months: Sequence[date]) -> Tally:
    """Forecast the last month of made-up tenants from several of its days, and compare with what then came."""
    tally = Tally(by_kind=defaultdict(Tally))
    for kind in KINDS:
        for seed in seeds:
            month = months[seed % len(months)]
            end = month.replace(day=days_of_month(month))
            made = tenant(kind, seed, end)
            for each in (tally, tally.by_kind[kind]):
                _judge(each, made, month, end, random.Random(seed))
    return tally


def _at_the_same_pace(today: date, known: Decimal) -> float:
    """Return the month's total at the pace of its complete days: the projection."""
    return float(known) * days_of_month(today) / (today.day - 1)


def _judge(tally: Tally, made: Tenant, month: date, end: date, chance: random.Random) -> None:
    units = made.of(month, end)
    total = sum(units)
    month_before = made.of(month - timedelta(days=30), month - timedelta(days=1))
    cap = Decimal(round(sum(month_before) / len(month_before) * 30 * chance.uniform(0.6, 1.3)))
    reached = _reached(units, cap, month)
    for days in _origins(made, month):
        known = sum(days.before[-(days.today.day - 1) :], Decimal(0))
        forecasted = forecast(days)
        assert forecasted is not None
        if total > 0:
            tally.totals += 1
            tally.totals_inside += forecasted.low <= total <= forecasted.high
            # Relative to the month, so that a large tenant does not speak for all.
            tally.miss += abs(float(forecasted.expected) - total) / total
            tally.naive_miss += abs(_at_the_same_pace(days.today, known) - total) / total
            tally.width += float(forecasted.high - forecasted.low) / total
        caps = cap_forecast(days, cap)
        assert caps is not None
        if not caps.is_reached:
            tally.caps += 1
            after = end + timedelta(days=1)
            tally.caps_inside += (caps.earliest or after) <= (reached or after) <= (caps.latest or after)
            tally.brier += (float(caps.probability) - (reached is not None)) ** 2


def _origins(made: Tenant, month: date) -> Iterator[Days]:
    for number in ORIGINS:
        today = month.replace(day=number)
        before = made.of(today - timedelta(days=HISTORY_DAYS), today - timedelta(days=1))
        yield Days(today, [Decimal(value) for value in before])


def _reached(units: list[int], cap: Decimal, month: date) -> date | None:
    used = 0
    for number, value in enumerate(units):
        used += value
        if used >= cap:
            return month + timedelta(days=number)
    return None


def run() -> list[Ratio]:
    """The forecast of held-out months: how often its 80 % intervals hold, and its error against the plain projection."""
    tally = backtest(HELD_OUT, HELD_OUT_MONTHS)
    worst = min(tally.by_kind, key=lambda kind: tally.by_kind[kind].coverage())
    detail = (
        f"{tally.totals} forecasts; worst kind: {worst} {tally.by_kind[worst].coverage():.2f}; "
        f"mean width {tally.width / tally.totals:.0%} of the month"
    )
    cap_detail = f"{tally.caps} caps; Brier score of the probability {tally.brier / tally.caps:.3f}"
    error = f"{tally.miss / tally.totals:.1%} against {tally.naive_miss / tally.totals:.1%} of the month, mean absolute"
    return [
        at_least("month totals inside their 80 % interval, at least", tally.coverage(), 0.75, detail),
        at_most("month totals inside their 80 % interval, at most", tally.coverage(), 0.9, detail),
        at_least("days of reaching a cap inside their 80 % interval", tally.cap_coverage(), 0.8, cap_detail),
        at_most("error of the forecast / error of the projection", tally.error(), 0.8, error),
    ]
