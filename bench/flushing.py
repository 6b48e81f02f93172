"""What bringing events into the database costs beside a bare COPY, and before the work on speed."""

from __future__ import annotations

from pathlib import Path
from statistics import median

from bench.baseline import ROOT, run_script, sources, spread
from bench.report import Ratio, at_least

SCRIPT = Path(__file__).with_name("flushing_script.py")
EVENTS = 60_000
ROUNDS = 2
BOUNDS = {"seconds": 0.4, "CPU": 0.4}


def run() -> list[Ratio]:
    """Events flushed with keys, live usage and touched days, against a COPY of their rows into a table with the same indexes."""
    samples: dict[str, dict[str, list[float]]] = {what: {"now": [], "before": []} for what in BOUNDS}
    with sources() as before:
        for _ in range(ROUNDS):
            for name, root in {"now": ROOT, "before": before}.items():
                for what, ratio in run_script(root, SCRIPT, str(EVENTS)).items():
                    samples[what][name].append(ratio)
    return [
        at_least(
            f"events flushed / rows by a bare COPY, by {what}",
            median(sides["now"]),
            BOUNDS[what],
            ", ".join(f"{name} {spread(ratios)}" for name, ratios in sides.items()),
        )
        for what, sides in samples.items()
    ]
