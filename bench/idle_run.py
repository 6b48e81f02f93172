"""What a rolling run costs in which nothing has changed, 96 times a day: the run's own process and its part of PostgreSQL."""

from __future__ import annotations

from pathlib import Path
from statistics import median

from bench.baseline import ROOT, run_script, sources, spread
from bench.report import Ratio, at_most

SCRIPT = Path(__file__).with_name("idle_run_script.py")
ROUNDS = 2
RUNS = 2


def run() -> list[Ratio]:
    """CPU of a rolling run in which nothing has changed, beside the commit before the work on speed."""
    found: dict[str, dict[str, list[float]]] = {"now": {}, "before": {}}
    with sources() as before:
        for _ in range(ROUNDS):
            for name, root in {"now": ROOT, "before": before}.items():
                for what, figures in run_script(root, SCRIPT, str(RUNS)).items():
                    found[name].setdefault(what, []).extend(figures)
    for figures in found.values():
        figures["both"] = [sum(pair) for pair in zip(figures["process"], figures["postgres"], strict=True)]

    def ratio(what: str, name: str, bound: float) -> Ratio:
        detail = ", ".join(f"{side} {spread(figures[what], ' s')}" for side, figures in found.items())
        return at_most(f"rolling run, nothing changed: CPU s of {name}", median(found["now"][what]), bound, detail)

    return [ratio("process", "its process", 3), ratio("both", "its process and PostgreSQL", 4)]
