"""What a build takes of the processor, by day and by history, beside the baseline's sources and a hand-written sum."""

from __future__ import annotations

import os
from pathlib import Path
from statistics import median

from bench.baseline import run_script, sources, spread
from bench.report import Ratio, at_most, informative
from cli.folders import ROOT

SCRIPT = Path(__file__).with_name("building.py")
MESSAGES = int(os.environ.get("BENCH_MESSAGES", "100000"))
ROUNDS = 2


def run() -> list[Ratio]:
    """A day's build at 0, 10 and 100 % tracked, and a day of 4,000 messages with 12 months behind it (BENCH_MESSAGES: the day's size)."""
    with sources() as baseline:
        sides = {"now": ROOT, "before": baseline}
        ratios = []
        for percent in (0, 10, 100):
            ratios += _day(sides, percent)
        ratios.append(_history())
    return ratios


def _day(sides: dict[str, Path], percent: int) -> list[Ratio]:
    built: dict[str, list[float]] = {name: [] for name in sides}
    by_hand: list[float] = []
    for _ in range(ROUNDS):
        for name, root in sides.items():
            result = run_script(root, SCRIPT, "--messages", str(MESSAGES), "--percent", str(percent))
            built[name].append(result["again"])
            by_hand.append(result["by_hand"])
    now, before, hand = median(built["now"]), median(built["before"]), median(by_hand)
    what = f"build of a day of {MESSAGES:,} messages, {percent} % tracked"
    detail = ", ".join(f"{name} {spread(figures, ' CPU s')}" for name, figures in {**built, "by hand": by_hand}.items())
    return [
        informative(f"{what}: CPU before / now", before / now, detail),
        informative(f"{what}: CPU / COPY and one GROUP BY with prices by hand", now / hand, detail),
    ]


def _history() -> Ratio:
    """Both with today's sources: what is compared is the length of the history."""
    figures: dict[int, list[float]] = {2: [], 365: []}
    for _ in range(ROUNDS):
        for days, taken in figures.items():
            taken.append(run_script(ROOT, SCRIPT, "--days", str(days))["again"])
    detail = ", ".join(f"{days} days {spread(taken, ' CPU s')}" for days, taken in figures.items())
    return at_most(
        "build of one day of 4,000 messages: CPU with 12 months behind it / 2 days",
        median(figures[365]) / median(figures[2]),
        1.05,
        detail,
    )
