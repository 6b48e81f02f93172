"""Requirements of FOCUS that the official validator does not check, checked by us, under their ids of the published requirements model.

In 1.2 (validator 2.2.1, model 1.2.0.1) these are rules that it marks as dynamic or skips: it passes a charge period that ends before it
starts, and a ListCost that is another product. For 1.3 there is no official validator yet (2.2.1 is the newest, and carries 1.2.0.1
alone): what 1.3 adds is here, and what it shares with 1.2 is checked by the official rules of 1.2.

Sources, read 2026-11-30: the model that the validator installs (focus_validator/rules/model-1.2.0.1.json), and
FinOps-Open-Cost-and-Usage-Spec/FOCUS_Spec, specification/requirements_model/model_rules/datasets/cost_and_usage (costandusage.json,
columns/*.json) with specification/datasets/cost_and_usage/columns/*.md, whose ids begin with CAU-. What each wants is said in our words.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

Row = Mapping[str, Any]
"""A charge: text of a CSV or values of a Parquet file; what is null is None."""

# A product of two numbers of 18 decimals is rounded once a factor, and the last component of a cell takes what rounding left.
TOLERANCE = Decimal("1e-12")
UNATTRIBUTED = "unattributed"


@dataclass(frozen=True)
class Rule:
    """One requirement: ``is_broken`` says whether a charge is against it."""

    id: str
    wants: str
    is_broken: Callable[[Row], bool]


def number(row: Row, name: str) -> Decimal:
    return Decimal(row[name])


def instant(row: Row, name: str) -> datetime:
    value = row[name]
    return value if isinstance(value, datetime) else datetime.fromisoformat(value)


def ends_early(period: str) -> Callable[[Row], bool]:
    return lambda row: instant(row, f"{period}End") <= instant(row, f"{period}Start")


def is_no_product(cost: str, price: str) -> Callable[[Row], bool]:
    """Return whether a cost with a price and a quantity is not their product; of corrections 1.2 does not ask."""

    def is_broken(row: Row) -> bool:
        if row[price] is None or row["PricingQuantity"] is None or row["ChargeClass"] == "Correction":
            return False
        return abs(number(row, price) * number(row, "PricingQuantity") - number(row, cost)) > TOLERANCE

    return is_broken


def differs_from_bill(cost: str, price: str) -> Callable[[Row], bool]:
    """Return whether a charge without a price, which no other charge explains, costs something else than what is billed."""

    def is_broken(row: Row) -> bool:
        explained = row[price] is not None or row["ChargeClass"] == "Correction"
        return not explained and number(row, cost) != number(row, "BilledCost")

    return is_broken


def is_unallocated(row: Row) -> bool:
    return row["AllocatedMethodId"] is None


def shared_tags(row: Row) -> set[str]:
    return set(json.loads(row["AllocatedTags"] or "{}")) & set(json.loads(row["Tags"] or "{}"))


SHARED = (
    ("ChargePeriodEnd-C-004-M", "a charge's period ends after it starts", ends_early("ChargePeriod")),
    ("BillingPeriodEnd-C-004-M", "a billing period ends after it starts", ends_early("BillingPeriod")),
    ("ListCost-C-008-C", "without a price: what is billed", differs_from_bill("ListCost", "ListUnitPrice")),
    (
        "ContractedCost-C-008-C",
        "without a price: what is billed",
        differs_from_bill("ContractedCost", "ContractedUnitPrice"),
    ),
)
LIST_PRODUCT = ("list price times quantity", is_no_product("ListCost", "ListUnitPrice"))
CONTRACTED_PRODUCT = ("contracted price times quantity", is_no_product("ContractedCost", "ContractedUnitPrice"))

RULES: dict[str, tuple[Rule, ...]] = {
    "1.2": (
        *(Rule(*shared) for shared in SHARED),
        Rule("ListCost-C-009-C", *LIST_PRODUCT),
        Rule("ContractedCost-C-009-C", *CONTRACTED_PRODUCT),
    ),
    "1.3": (
        *(Rule(f"CAU-{id}", wants, is_broken) for id, wants, is_broken in SHARED),
        Rule("CAU-ListCost-C-011-C", *LIST_PRODUCT),
        Rule("CAU-ContractedCost-C-011-C", *CONTRACTED_PRODUCT),
        Rule("CAU-ServiceProviderName-C-003-M", "never null", lambda row: row["ServiceProviderName"] is None),
        Rule("HostProviderName: Allows nulls False", "never null", lambda row: row["HostProviderName"] is None),
        Rule(
            "CAU-AllocatedResourceId-C-004-C",
            "null where nothing is allocated",
            lambda row: is_unallocated(row) and row["AllocatedResourceId"] is not None,
        ),
        Rule(
            "CAU-AllocatedResourceId-C-005-C",
            "null for what is left to nobody",
            lambda row: row["SubAccountId"] == UNATTRIBUTED and row["AllocatedResourceId"] is not None,
        ),
        Rule(
            "CAU-AllocatedResourceId-C-006-C",
            "there for what is allocated to somebody",
            lambda row: (
                not is_unallocated(row) and row["SubAccountId"] != UNATTRIBUTED and row["AllocatedResourceId"] is None
            ),
        ),
        Rule(
            "CAU-AllocatedResourceName-C-004-C",
            "no name without an id",
            lambda row: row["AllocatedResourceId"] is None and row["AllocatedResourceName"] is not None,
        ),
        Rule(
            "CAU-AllocatedResourceName-C-005-C",
            "no id without a name",
            lambda row: row["AllocatedResourceId"] is not None and row["AllocatedResourceName"] is None,
        ),
        Rule(
            "CAU-AllocatedTags-C-003-C",
            "null where nothing is allocated",
            lambda row: is_unallocated(row) and row["AllocatedTags"] is not None,
        ),
        Rule("CAU-AllocatedTags-C-006-M", "no tag that is in Tags", lambda row: bool(shared_tags(row))),
    ),
}

PRESENT: dict[str, dict[str, str]] = {
    "1.2": {},
    "1.3": {
        # Deprecated, not yet gone.
        "CAU-CostAndUsage-D-021-M": "PublisherName",
        "CAU-CostAndUsage-D-038-M": "ProviderName",
        "CAU-CostAndUsage-D-070-C": "AllocatedMethodId",
        "CAU-CostAndUsage-D-071-C": "AllocatedResourceId",
        "CAU-CostAndUsage-D-072-C": "AllocatedResourceName",
        "CAU-CostAndUsage-D-073-C": "AllocatedTags",
        "CAU-CostAndUsage-D-075-M": "HostProviderName",
        "CAU-CostAndUsage-D-076-M": "ServiceProviderName",
    },
}
"""Columns that must be there; those of 1.2 the official validator looks for."""


def spec_of(columns: Iterable[str]) -> str:
    """Return the version of FOCUS that a file with these columns is of."""
    return "1.3" if "ServiceProviderName" in columns else "1.2"


def charges(file: Path) -> Iterator[Row]:
    """Yield the charges of a CSV or Parquet file."""
    if file.suffix == ".parquet":
        import pyarrow.parquet as pq

        for batch in pq.ParquetFile(file).iter_batches():
            yield from batch.to_pylist()
        return
    with file.open(newline="", encoding="utf-8") as text:
        for row in csv.DictReader(text):
            yield {name: value or None for name, value in row.items()}


def broken(rows: Iterable[Row], spec: str) -> dict[str, int]:
    """Return how many charges are against each rule that is broken, by its id; a column that is not there is against its own once."""
    counts: dict[str, int] = {}
    for place, row in enumerate(rows):
        if place == 0:
            counts |= {id: 1 for id, column in PRESENT[spec].items() if column not in row}
            if counts:
                return counts
        for rule in RULES[spec]:
            if rule.is_broken(row):
                counts[rule.id] = counts.get(rule.id, 0) + 1
    return counts
