"""Rounding at the edge."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.kit.money import cents, percent, quantity, share, total, total_if_known, total_of_priced, usd

AMOUNTS = st.decimals(
    min_value=Decimal(-(10**19)), max_value=Decimal(10**19), places=18, allow_nan=False, allow_infinity=False
)


@pytest.mark.parametrize(
    ("exact", "rounded"),
    [("0.5", 0), ("1.5", 2), ("2.5", 2), ("2.500000000000000001", 3), ("-0.5", 0), ("-1.5", -2), ("7.9", 8)],
)
def test_cents_are_rounded_half_even(exact: str, rounded: int) -> None:
    assert cents(Decimal(exact)) == rounded


@pytest.mark.parametrize(
    ("exact", "text"),
    [
        ("0", "0"),
        ("0.000000000000000000", "0"),
        ("0.79", "0.0079"),
        ("100", "1"),
        ("1E+3", "10"),
        ("950", "9.5"),
        ("-950", "-9.5"),
        ("0.000000000000000001", "0.00000000000000000001"),
    ],
)
def test_dollars_are_exact_without_exponent_or_padding(exact: str, text: str) -> None:
    assert usd(Decimal(exact)) == text


def test_unpriced_stays_null() -> None:
    assert (cents(None), usd(None), percent(None)) == (None, None, None)


@given(AMOUNTS)
def test_dollars_keep_the_value(exact: Decimal) -> None:
    text = usd(exact)
    assert text is not None
    assert Fraction(text) * 100 == Fraction(exact)
    assert "E" not in text


@given(st.lists(AMOUNTS, max_size=30))
def test_sums_are_exact_in_any_order(amounts: list[Decimal]) -> None:
    assert total(amounts) == total(reversed(amounts))
    assert Fraction(total(amounts)) == sum(map(Fraction, amounts))


def test_sums_of_unknowns() -> None:
    assert total_of_priced([]) == 0
    assert total_of_priced([None, Decimal(1)]) == 1
    assert total_of_priced([None]) is None
    assert total_if_known([]) == 0
    assert total_if_known([None, Decimal(1)]) is None


def test_quantities_are_whole_where_they_are_whole() -> None:
    assert [quantity(Decimal(text)) for text in ("5.000", "12.5", "1E+3")] == [5, 12.5, 1000]
    assert isinstance(quantity(Decimal("5.000")), int)


def test_shares() -> None:
    assert share(Decimal(1), Decimal(3)) == 33.3
    assert share(Decimal("0.05"), Decimal(100)) == 0.0
    assert share(Decimal("0.15"), Decimal(100)) == 0.2
    assert share(None, Decimal(3)) is None
    assert share(Decimal(1), 0) is None
