"""What a range saves against its days one by one."""

from __future__ import annotations

import time
from datetime import date, timedelta

from bench.report import Ratio, at_most
from bench.stage import stage
from ingestion.windows import Window
from sandbox import Dataset

AS_OF = date(2026, 11, 10)
DAYS = 90
SAMPLE = 9
"""Single days that are timed; all 90 would take a quarter of an hour to say the same."""


def run() -> list[Ratio]:
    """90 days as one run against 90 times a run of one day."""
    first = AS_OF - timedelta(days=DAYS - 1)
    dataset = Dataset.generate(tenants=6, first=first, last=AS_OF)
    with stage(dataset, start=first, as_of=AS_OF) as system:
        whole = Window(first, AS_OF + timedelta(days=1))
        system.rebuild(whole)  # not counted: the first run creates the tables
        started = time.perf_counter()
        system.rebuild(whole)
        one_run = time.perf_counter() - started
        started = time.perf_counter()
        for day in whole.days()[:: DAYS // SAMPLE]:
            system.rebuild(Window(day, day + timedelta(days=1)))
        single_day = (time.perf_counter() - started) / SAMPLE
    single_days = single_day * DAYS
    detail = f"one run {one_run:.1f} s; a single day {single_day:.2f} s, the mean of {SAMPLE}"
    return [at_most(f"{DAYS} days as one range / {DAYS} single days", one_run / single_days, 0.25, detail)]
