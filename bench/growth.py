"""Twelve months on one server: what a build of a day and of a month takes, the room on the disk, and that of a day built 50 times."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from bench.baseline import ROOT, run_script, sources
from bench.report import Ratio, at_most, informative

SCRIPT = Path(__file__).with_name("growth_script.py")
DAYS = 365
AGAIN = 50


def run(messages: int = 2_740) -> list[Ratio]:
    """12 months, 1,000,000 messages, a tenth tracked, beside the baseline; ``growth_ten_million`` has ten times as many."""
    with sources() as baseline:
        before, now = (run_script(root, SCRIPT, "--messages", str(messages)) for root in (baseline, ROOT))
    what = f"12 months, {messages * DAYS:,} messages"
    return [
        *(
            informative(
                f"{what}: build of {name}, CPU before / now",
                before[key] / now[key],
                f"before {before[key]:,.1f} CPU s, now {now[key]:,.1f} CPU s",
            )
            for key, name in {"day": "a day", "month": "30 days", "year": "everything"}.items()
        ),
        informative(
            f"{what}: bytes on disk before / now", _bytes(before) / _bytes(now), f"{_room(before)}; now {_room(now)}"
        ),
        at_most(
            f"{what}: bytes that builds write after {AGAIN} builds of one day / after one",
            now["again"] / now["once"],
            1.3,
            f"now {now['once'] / 2**20:,.0f} MB, {now['again'] / 2**20:,.0f} MB;"
            f" before {before['once'] / 2**20:,.0f} MB, {before['again'] / 2**20:,.0f} MB",
        ),
        informative(
            f"{what}: MB held at most by a build of everything",
            sum(now["memory"]),
            f"before {sum(before['memory']):,.0f} MB",
        ),
    ]


def ten_million() -> list[Ratio]:
    """12 months of 10,000,000 messages, a tenth tracked, beside the baseline; takes an hour."""
    return run(27_400)


def _bytes(side: dict[str, Any]) -> int:
    return int(sum(side["sizes"].values()))


def _room(side: dict[str, Any]) -> str:
    return ", ".join(f"{schema} {size / 2**20:,.0f} MB" for schema, size in sorted(side["sizes"].items()))
