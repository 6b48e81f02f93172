"""What a build takes of the processor, by day and by history, beside the baseline's sources and sums written by hand."""

from __future__ import annotations

import os
from pathlib import Path
from statistics import median
from typing import Any

from bench.baseline import run_script, sources, spread
from bench.report import Ratio, at_most, informative
from cli.folders import ROOT

SCRIPT = Path(__file__).with_name("building.py")
YEAR = Path(__file__).with_name("building_year.py")
MESSAGES = int(os.environ.get("BENCH_MESSAGES", "50000"))
ROUNDS = 2


def run() -> list[Ratio]:
    """Days of 0, 10 and 100 % tracked messages, a year, and a day with 12 months behind it (BENCH_MESSAGES: a day's size)."""
    return [*_days(), *_year()]


def _days() -> list[Ratio]:
    """An empty day's build is dbt's own cost. What is beyond it is the messages'; about 0 is less than two builds differ by."""
    found: dict[str, list[dict[str, Any]]] = {"now": [], "before": []}
    with sources() as baseline:
        for _ in range(ROUNDS):
            for side, root in {"now": ROOT, "before": baseline}.items():
                found[side].append(run_script(root, SCRIPT, "--messages", str(MESSAGES)))

    ratios = []
    for percent in ("0", "10", "100"):
        built = {side: [each[percent]["again"] for each in runs] for side, runs in found.items()}
        empty = {side: [each["none"]["again"] for each in runs] for side, runs in found.items()}
        of_messages = {side: median(built[side]) - median(empty[side]) for side in found}
        hand = [each[percent]["by_hand"] for runs in found.values() for each in runs]
        what = f"build of a day of {MESSAGES:,} messages, {percent} % tracked"
        detail = ", ".join(
            f"{name} {spread(figures, ' CPU s')}" for name, figures in {**built, "by hand": hand}.items()
        )
        of_empty = ", ".join(f"{side} {spread(figures, ' CPU s')}" for side, figures in empty.items())
        ratios += [
            informative(f"{what}: CPU before / now", median(built["before"]) / median(built["now"]), detail),
            informative(
                f"{what}: CPU beyond an empty day's / COPY and one GROUP BY with prices by hand",
                of_messages["now"] / median(hand),
                f"before {of_messages['before'] / median(hand):.2f}; an empty day {of_empty}",
            ),
        ]
    return [*ratios, _memory(what, found["now"][-1]["memory"], found["before"][-1]["memory"])]


def _year() -> list[Ratio]:
    """All with today's sources: what is compared is the length of the history, and a year with sums by hand."""
    found = run_script(ROOT, YEAR)
    days = found["last_day"]
    detail = ", ".join(f"{name} {spread(taken, ' CPU s')}" for name, taken in days.items())
    year = "build of 365 days of 4,000 messages"
    return [
        at_most(
            f"{year}: CPU / COPY and three marts by hand",
            found["year"] / found["by_hand"],
            2.5,
            f"build {found['year']:.1f} CPU s, by hand {found['by_hand']:.1f} CPU s",
        ),
        _memory(year, found["memory"]),
        at_most(
            "build of one day of 4,000 messages: CPU with 12 months behind it / 2 days",
            median(days["365 days"]) / median(days["2 days"]),
            1.05,
            detail,
        ),
    ]


def _memory(what: str, now: list[float], before: list[float] | None = None) -> Ratio:
    """The most memory held, in MB, of this side's process and PostgreSQL."""
    sides = {"now": now, **({"before": before} if before else {})}
    detail = "; ".join(
        f"{side} process {own:,.0f} MB, PostgreSQL {server:,.0f} MB" for side, (own, server) in sides.items()
    )
    return informative(f"{what}: MB held at most", sum(now), detail)
