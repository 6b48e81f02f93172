"""What dbt itself costs: a day without usage, built by a process that has built before."""

from __future__ import annotations

from pathlib import Path
from statistics import median

from bench.baseline import ROOT, run_script, sources, spread
from bench.report import Ratio, at_most

SCRIPT = Path(__file__).with_name("empty_day_script.py")
BEFORE = "89bee3fddfd00f7eb7825d0598c486bda6e077f6"
"""The last commit before builds left out what only code changes."""
ROUNDS = 2
BUILDS = 4


def run() -> list[Ratio]:
    """CPU of a warm build of one empty day, beside the commit before builds left out what only code changes."""
    with sources(BEFORE) as before:
        sides = {"now": ROOT, "before": before}
        samples: dict[str, dict[str, list[float]]] = {name: {} for name in sides}
        for _ in range(ROUNDS):
            for name, root in sides.items():
                for what, figures in run_script(root, SCRIPT, str(BUILDS)).items():
                    samples[name].setdefault(what, []).extend(figures)

    for figures in samples.values():
        figures["both"] = [
            python + postgres for python, postgres in zip(figures["python"], figures["postgres"], strict=True)
        ]

    def ratio(what: str, name: str) -> Ratio:
        detail = ", ".join(f"{side} {spread(figures[what], ' CPU s')}" for side, figures in samples.items())
        detail += ", " + ", ".join(
            f"{median(figures['results']):.0f} results {side}" for side, figures in samples.items()
        )
        value = median(samples["now"][what]) / median(samples["before"][what])
        return at_most(f"build of an empty day, warm: CPU of {name} / before", value, 0.5, detail)

    return [ratio("python", "Python"), ratio("both", "Python and PostgreSQL")]
