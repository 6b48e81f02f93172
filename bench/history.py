"""What one day's rebuild costs as history grows."""

from __future__ import annotations

import time
from datetime import date, timedelta
from statistics import median

from bench.report import Ratio, at_most
from bench.stage import stage
from ingestion.windows import Window
from sandbox import Dataset

AS_OF = date(2026, 11, 10)
RUNS = 5


def run() -> list[Ratio]:
    """One day's rebuild with 1, 3 and 12 months of history behind it."""
    first = AS_OF - timedelta(days=365)
    dataset = Dataset.generate(tenants=6, first=first, last=AS_OF)
    today = Window(AS_OF, AS_OF + timedelta(days=1))
    seconds: dict[int, float] = {}
    with stage(dataset, start=first, as_of=AS_OF) as system:
        built = AS_OF
        for months in (1, 3, 12):
            begin = first if months == 12 else AS_OF - timedelta(days=30 * months)
            system.rebuild(Window(begin, built))
            built = begin
            system.rebuild(today)  # not counted: caches
            times = []
            for _ in range(RUNS):
                started = time.perf_counter()
                system.rebuild(today)
                times.append(time.perf_counter() - started)
            seconds[months] = median(times)
    detail = ", ".join(f"{months} mo {taken:.2f} s" for months, taken in seconds.items())
    return [
        at_most("one day's rebuild: 12 months of history / 1 month", seconds[12] / seconds[1], 1.3, detail),
        at_most("one day's rebuild: 3 months of history / 1 month", seconds[3] / seconds[1], 1.3, detail),
    ]
