"""What a call of `record` costs: its own work, and how much that adds to the fsync that makes it durable."""

from __future__ import annotations

import os
from pathlib import Path
from statistics import median

from bench.baseline import ROOT, run_script, sources, spread
from bench.report import Ratio, at_most

SCRIPT = Path(__file__).with_name("recording_script.py")
CALLS = 3_000
ROUNDS = 3
URL = {"METERING_TRACKER_DATABASE_URL": "", "METERING_DATABASE_URL": "", "METERING_PII_KEY": "bench"}


def run() -> list[Ratio]:
    """record() without and with its fsync, beside the commit before the work on speed."""
    samples: dict[str, list[dict[str, float]]] = {"now": [], "before": []}
    with sources() as before:
        for _ in range(ROUNDS):
            for name, root in {"now": ROOT, "before": before}.items():
                samples[name].append(run_script(root, SCRIPT, str(CALLS), environment={**os.environ, **URL}))
    cpu = {name: [turn["cpu"] for turn in turns] for name, turns in samples.items()}
    ratios = {name: [turn["recorded"] / turn["synced"] for turn in turns] for name, turns in samples.items()}

    def detail(figures: dict[str, list[float]], unit: str) -> str:
        return ", ".join(f"{name} {spread(of, unit)}" for name, of in figures.items())

    return [
        at_most("record() without its fsync: µs of CPU", median(cpu["now"]), 25, detail(cpu, " µs")),
        at_most("record() / a write and fsync on the same disk, p50", median(ratios["now"]), 1.2, detail(ratios, "")),
    ]
