"""The pages' charts: what drawing both pictures of one takes, beside the baseline."""

from __future__ import annotations

import tempfile
from pathlib import Path
from statistics import median

from bench import baseline
from bench.report import Ratio, at_most
from cli.folders import ROOT

DAYS = (30, 90)
# What the tenant's page may take in all, in milliseconds of Python's CPU time; its charts were four fifths of it.
BOUNDS = {30: 35, 90: 60}
SCRIPT = """
import sys, time
from api.dashboard.charts import Series, stacked_bars
days = int(sys.argv[1])
labels = [f"Day {day}" for day in range(days)]
series = [
    Series(f"key{number}", f"Label {number}", [(day * 7 + number) % 11 / 4 for day in range(days)], ["$1.00"] * days)
    for number in range(9)
]
def draw():
    return stacked_bars("daily", "Title", "Description", labels, series, str)
draw()
started = time.process_time()
for _ in range(10):
    draw()
print((time.process_time() - started) * 100)
"""


def run() -> list[Ratio]:
    """CPU milliseconds of a chart of nine channels, 30 and 90 days, beside the baseline's."""
    ratios = []
    with baseline.sources() as root, tempfile.TemporaryDirectory() as name:
        script = Path(name) / "draw.py"
        script.write_text(SCRIPT)
        for days in DAYS:

            def cpu(folder: Path, days: int = days) -> float:
                return float(baseline.run_script(folder, script, str(days)))

            figures = baseline.alternate({"baseline": lambda: cpu(root), "now": lambda: cpu(ROOT)})
            now, before = (baseline.spread(figures[side], " ms") for side in ("now", "baseline"))
            what = f"a chart of {days} days: Python's CPU"
            ratios += [
                at_most(f"{what} / the page's {BOUNDS[days]} ms", median(figures["now"]) / BOUNDS[days], 0.5, now),
                at_most(
                    f"{what} / the baseline's",
                    median(figures["now"]) / median(figures["baseline"]),
                    0.4,
                    f"{now}; baseline {before}",
                ),
            ]
    return ratios
