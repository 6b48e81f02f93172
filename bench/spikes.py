"""Labelled spikes: daily costs with a weekday pattern, growth and noise, and days that somebody has multiplied."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from statistics import fmean, stdev

from costs.rules.anomaly import expectation

FIRST = date(2026, 1, 1)
FLOOR = Decimal(100)
Detector = Callable[[Mapping[date, Decimal], date], bool]


@dataclass(frozen=True)
class Series:
    """A tenant's channel: cents by day, and which days are spikes."""

    costs: Mapping[date, Decimal]
    spikes: frozenset[date]


@dataclass(frozen=True)
class Score:
    """How a detector did over all evaluated days."""

    hits: int
    false_alarms: int
    misses: int
    quiet: int

    @property
    def precision(self) -> float:
        return self.hits / (self.hits + self.false_alarms) if self.hits + self.false_alarms else 1.0

    @property
    def recall(self) -> float:
        return self.hits / (self.hits + self.misses) if self.hits + self.misses else 1.0


def generate(series: int, days: int, seed: int = 2026) -> list[Series]:
    """Return that many series; about one day in sixty is a spike of 2.2 to 8 times what the day would have been.

    Some are flat, some rest at the weekend, some grow by half over the time, some are noisy (a fifth either way, daily).
    """
    chance = random.Random(seed)
    made = []
    for number in range(series):
        level = math.exp(chance.uniform(math.log(300), math.log(20_000)))
        weekend = (1.0, 0.3, 0.05)[number % 3]
        growth = (0.0, 0.5)[number % 2]
        noise = (0.05, 0.12, 0.2)[number // 2 % 3]
        costs, spikes = {}, set()
        for offset in range(days):
            day = FIRST + timedelta(days=offset)
            usual = level * (1 + growth * offset / days) * (weekend if day.weekday() >= 5 else 1.0)
            amount = usual * math.exp(chance.gauss(0, noise))
            # A spike that costs cents is not one.
            if chance.random() < 1 / 60 and usual > 150:
                amount *= chance.uniform(2.2, 8)
                spikes.add(day)
            costs[day] = Decimal(f"{amount:.9f}")
        made.append(Series(costs, frozenset(spikes)))
    return made


def detect(history: Mapping[date, Decimal], day: date) -> bool:
    """Say whether the product calls the day unusual."""
    expected = expectation(history, day, floor=FLOOR)
    return expected is not None and history[day] >= expected.threshold


def naive(history: Mapping[date, Decimal], day: date) -> bool:
    """Say whether the day is three standard deviations above the mean of the eight weeks before it."""
    before = [float(history[when]) for offset in range(1, 57) if (when := day - timedelta(days=offset)) in history]
    return len(before) > 20 and float(history[day]) > fmean(before) + 3 * stdev(before)


def score(made: list[Series], detector: Detector, warm_up: int = 28) -> Score:
    """Ask the detector about each day after the warm-up, with no knowledge of later ones."""
    counts = {(is_flagged, is_spike): 0 for is_flagged in (True, False) for is_spike in (True, False)}
    for series in made:
        for day in sorted(series.costs)[warm_up:]:
            counts[detector(series.costs, day), day in series.spikes] += 1
    return Score(counts[True, True], counts[True, False], counts[False, True], counts[False, False])
