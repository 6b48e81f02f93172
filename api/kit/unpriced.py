"""What has no known price, by kind: units that are not alike are listed beside each other and never added up."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from pydantic import Field

from api.kit.money import Exact, quantity, total
from api.kit.schemas import Body, Quantity

Kinds = Mapping[str, Exact]


class UnpricedUnits(Body):
    """So much of one kind without a known price: it is in no cost."""

    unit: str = Field(examples=["images"])
    quantity: Quantity


def of_cell(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return a channel's fields ``unpriced_unit_count`` (of its own unit) and ``unpriced_units`` (of all).

    Args:
        row: ``unit``, ``unpriced_unit_count`` and ``unpriced_units``.
    """
    return {"unpriced_unit_count": quantity(row["unpriced_unit_count"]), "unpriced_units": listed(kinds_of(row))}


def kinds_of(row: Mapping[str, Any]) -> dict[str, Exact]:
    """Return a channel's kinds; of a row of a build before they were kept, its count."""
    count = row["unpriced_unit_count"]
    return row["unpriced_units"] or ({row["unit"]: count} if count else {})


def of_several(kinds: Kinds) -> dict[str, Any]:
    """Return the same fields over several channels: the count is null where it would add up what is not alike."""
    amounts = list(kinds.values())
    count = None if len(amounts) > 1 else quantity(amounts[0]) if amounts else 0
    return {"unpriced_unit_count": count, "unpriced_units": listed(kinds)}


def together(parts: Iterable[Kinds]) -> dict[str, Exact]:
    """Return the sums of several rows, kind by kind."""
    amounts_by_unit: dict[str, list[Exact]] = {}
    for kinds in parts:
        for unit, amount in kinds.items():
            amounts_by_unit.setdefault(unit, []).append(amount)
    return {unit: summed for unit, amounts in amounts_by_unit.items() if (summed := total(amounts))}


def listed(kinds: Kinds) -> list[UnpricedUnits]:
    """Return the kinds, the largest quantity first."""
    return [
        UnpricedUnits(unit=unit, quantity=quantity(amount))
        for unit, amount in sorted(kinds.items(), key=lambda kind: (-kind[1], kind[0]))
    ]
