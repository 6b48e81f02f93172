"""The dbt project's seeds as files: read, and held against the rules before anything is built from them."""

from __future__ import annotations

import csv
import io
from pathlib import Path

from builds.dbt_manifest import project_folder
from costs.rules.price_book import FILE, check, parse_book

SEEDS = ("plans.csv", "plan_limits.csv", FILE)


def seed_path(name: str) -> Path:
    """Return where a seed stands."""
    return project_folder() / "seeds" / name


def seed_texts() -> dict[str, str]:
    """Return the texts of plans, limits and prices, by file name."""
    return {name: seed_path(name).read_text() for name in SEEDS}


def plans_of(text: str) -> set[str]:
    """Return the plans that a text of plans.csv names."""
    return {row["plan"] for row in csv.DictReader(io.StringIO(text))}


def check_price_book() -> int:
    """Hold the price book against the rules; return how many prices it has.

    Raises:
        PriceBookError: naming file and row.
    """
    prices = parse_book(seed_path(FILE).read_text())
    check(prices, plans=plans_of(seed_path("plans.csv").read_text()))
    return len(prices)
