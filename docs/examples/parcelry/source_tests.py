"""Parcelry's labels become typed rows; malformed ones are set aside."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Any

import pytest

from ingestion.sources.columns import convert
from ingestion.sources.parcelry import labels_table

LABEL: dict[str, Any] = {
    "id": "lbl_1",
    "shop": "shop_a",
    "kind": "domestic",
    "state": "bought",
    "price": Decimal("0.3500000000000000001"),
    "currency": "usd",
    "bought_at": "2026-11-04T01:30:00+02:00",
}


def test_a_label_is_of_its_utc_day_at_an_exact_price() -> None:
    (table,), rejected = convert([LABEL], labels_table)
    (row,) = table.to_pylist()
    assert (row["usage_date"], row["price"], row["currency"]) == (date(2026, 11, 3), Decimal("0.35"), "USD")
    assert rejected == []


@pytest.mark.parametrize("field", ["id", "kind", "state", "bought_at"])
def test_a_label_without_a_field_that_it_needs_is_set_aside(field: str) -> None:
    tables, rejected = convert([LABEL, LABEL | {field: None}], labels_table)
    assert sum(table.num_rows for table in tables) == 1
    assert [entry.reason for entry in rejected] == [f"{field}: missing"]
