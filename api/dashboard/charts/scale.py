"""The scale at a plot's side: round steps, zero among them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from api.dashboard.charts.drawing import HEIGHT, PLOT, Formatter, Number, Tick

STEPS = (1, 2, 2.5, 5, 10)
MOST = 5
SMALLEST = 1e-18


@dataclass(frozen=True, slots=True)
class Scale:
    """From ``low`` (0 or below) to ``high`` (above it); ``levels`` are the round numbers that lines are drawn at."""

    low: float
    high: float
    levels: Sequence[float]

    def y(self, value: Number) -> int:
        """Return how far below the top a value is, in units of the plot."""
        return round(HEIGHT * (self.high - value) / (self.high - self.low))

    def ticks(self, axis: Formatter) -> list[Tick]:
        """Return the levels with their labels, in pixels from the top."""
        return [
            Tick(f"{PLOT * (self.high - level) / (self.high - self.low):.1f}".removesuffix(".0"), axis(level))
            for level in self.levels
        ]


def scale_of(low: Number, high: Number) -> Scale:
    """Return the scale that holds both values and zero, with at most `MOST` levels above the lowest."""
    low, high = min(0.0, float(low)), max(0.0, float(high))
    # Less than any money or quantity is (18 decimals) is nothing.
    if high - low < SMALLEST:
        high = 1.0
    rough = (high - low) / MOST
    size = 10.0 ** math.floor(math.log10(rough))
    step = next(size * factor for factor in STEPS if size * factor >= rough * (1 - 1e-9))
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return Scale(first * step, last * step, [index * step for index in range(first, last + 1)])
