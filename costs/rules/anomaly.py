"""Is a day's figure unusual for its weekday, and what made it so: medians and their deviations, nothing else.

A mean would be moved by the very spikes that it is to find; a median over eight weeks is not. Weekends and weekdays are
made comparable first (each weekday's median against the mean of the seven), so that one level and one spread serve all,
and the level is that of the last four weeks: growth is not an anomaly.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from statistics import median

WEEKS = 8
LEVEL_DAYS = 28
# Three of each weekday; with fewer a weekday's median is anybody's guess.
MINIMUM_DAYS = 21
# The normal distribution's standard deviation is this many times its median absolute deviation.
TO_SIGMA = Decimal("1.4826")
# On generated series of four other seeds than the benchmark's (500 spikes in 36,000 days): 5 gives 74 false alarms and misses
# 2 spikes, 6 gives 21 and 8, 7 gives 13 and 13. A false alarm costs more than a small spike.
SIGMAS = 7
# Very even usage has next to no spread; a tenth of the level is noise all the same.
LEAST_SPREAD = Decimal("0.1")
LEAST_RATIO = Decimal("1.5")
ZERO = Decimal(0)


@dataclass(frozen=True)
class Expectation:
    """What a day should have been, and from where on it is unusual, in the unit of the history."""

    expected: Decimal
    threshold: Decimal


@dataclass(frozen=True)
class Line:
    """One part of a day's figure, by the dimensions that a cause may lie in."""

    day: date
    feature: str
    model: str
    operation: str
    amount: Decimal


@dataclass(frozen=True)
class Cause:
    """The value of one dimension (``feature``, ``model``, ``operation``) that contributes most to an excess.

    Attributes:
        excess: how much more than usual it was.
        share: of all that grew, between 0 and 1.
    """

    dimension: str
    value: str
    excess: Decimal
    share: Decimal


def expectation(history: Mapping[date, Decimal], day: date, *, floor: Decimal) -> Expectation | None:
    """Return what ``day`` should be like after its history; None where that is too short to say.

    Args:
        history: figures by day. A day without usage is 0; one that is not known is absent. Days from ``day`` on and
            those more than eight weeks before it are not looked at.
        floor: an excess below it is of no interest to anybody.
    """
    first = day - timedelta(weeks=WEEKS)
    known = {when: amount for when, amount in history.items() if first <= when < day}
    weekdays: dict[int, list[Decimal]] = {}
    for when, amount in known.items():
        weekdays.setdefault(when.weekday(), []).append(amount)
    if len(known) < MINIMUM_DAYS or len(weekdays.get(day.weekday(), ())) < 2:
        return None
    typical = {weekday: median(amounts) for weekday, amounts in weekdays.items()}
    mean = sum(typical.values(), ZERO) / len(typical)
    share = typical[day.weekday()] / mean if mean else ZERO
    since = day - timedelta(days=LEVEL_DAYS)
    adjusted = {
        when: amount * mean / typical[when.weekday()] for when, amount in known.items() if typical[when.weekday()]
    }
    recent = [amount for when, amount in adjusted.items() if when >= since]
    level = median(recent) if recent else ZERO
    expected = level * share
    if not expected:
        # Used now and then, or never on this weekday: no spread to speak of, so the highest day is the measure.
        return Expectation(ZERO, max(max(known.values()) * LEAST_RATIO, floor))
    spread = TO_SIGMA * median(abs(amount - level) for amount in adjusted.values()) * share
    margin = max(SIGMAS * max(spread, LEAST_SPREAD * expected), (LEAST_RATIO - 1) * expected, floor)
    return Expectation(expected, expected + margin)


def dense(amounts: Mapping[date, Decimal | None], first: date, last: date) -> dict[date, Decimal]:
    """Return a figure for each day from the first one with any, in [first, last]; a day without a row is 0.

    A day whose amount is None is not known and stays out.
    """
    began = min((day for day in amounts if day >= first), default=last + timedelta(days=1))
    days = (began + timedelta(days=offset) for offset in range((last - began).days + 1))
    filled = {day: amounts.get(day, ZERO) for day in days}
    return {day: amount for day, amount in filled.items() if amount is not None}


def find_cause(lines: Sequence[Line], day: date, before: Iterable[date]) -> Cause | None:
    """Return what contributes most to the excess of ``day`` over the days ``before`` (the same weekday's, say).

    The dimension whose first value explains most is named; one that only ever has one value explains nothing, unless
    none has more. None where nothing grew.
    """
    days = list(before)
    causes: list[tuple[bool, Decimal, Cause]] = []
    for dimension in ("feature", "model", "operation"):
        sums: dict[str, dict[date, Decimal]] = {}
        for line in lines:
            of_value = sums.setdefault(getattr(line, dimension), {})
            of_value[line.day] = of_value.get(line.day, ZERO) + line.amount
        excess = {
            value: by_day.get(day, ZERO) - (median(by_day.get(when, ZERO) for when in days) if days else ZERO)
            for value, by_day in sums.items()
            if value
        }
        grown = sum((amount for amount in excess.values() if amount > 0), ZERO)
        if not grown:
            continue
        value, most = max(excess.items(), key=lambda entry: (entry[1], entry[0]))
        causes.append((len(excess) > 1, most / grown, Cause(dimension, value, most, most / grown)))
    # `max` keeps the first of equals: feature before model before operation.
    return max(causes, key=lambda entry: entry[:2])[2] if causes else None
