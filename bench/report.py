"""How a benchmark says what it found: a figure, what it is a ratio of, and the bound that the project set itself."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median

from rich.console import Console
from rich.table import Table

console = Console(soft_wrap=True)


@dataclass(frozen=True)
class Ratio:
    """``value`` times; ``bound`` as text, met or not; ``detail`` with the figures it was made of."""

    name: str
    value: float
    bound: str
    met: bool | None
    detail: str


def at_least(name: str, value: float, bound: float, detail: str) -> Ratio:
    """Return a ratio that should not be smaller than ``bound``."""
    return Ratio(name, value, f">= {bound:g}", value >= bound, detail)


def at_most(name: str, value: float, bound: float, detail: str) -> Ratio:
    """Return a ratio that should not be larger than ``bound``."""
    return Ratio(name, value, f"<= {bound:g}", value <= bound, detail)


def informative(name: str, value: float, detail: str) -> Ratio:
    """Return a ratio without a bound."""
    return Ratio(name, value, "", None, detail)


def timed(work: Callable[[], object], runs: int = 3) -> float:
    """Return the median seconds of ``runs`` calls, after one that does not count."""
    work()
    seconds = []
    for _ in range(runs):
        started = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - started)
    return median(seconds)


def show(ratios: list[Ratio]) -> None:
    """Print the ratios as a table."""
    table = Table(title="usage-metering benchmarks: ratios of one run", title_justify="left")
    table.add_column("what")
    table.add_column("ratio", justify="right")
    table.add_column("bound", justify="right")
    table.add_column("met")
    table.add_column("made of")
    for ratio in ratios:
        met = "" if ratio.met is None else "[green]yes[/]" if ratio.met else "[red]no[/]"
        table.add_row(ratio.name, f"{ratio.value:.2f}", ratio.bound, met, ratio.detail)
    console.print(table)
