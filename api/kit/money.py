"""Exact decimals to numbers for people: the only place in the API that rounds.

Money comes from the marts as exact cents; a body shows it twice, rounded half-even to whole cents and as an
exact decimal string in US dollars. Quantities are JSON numbers (whole ones without a fraction), percents have
one decimal.
"""

from __future__ import annotations

from collections.abc import Iterable
from decimal import ROUND_HALF_EVEN, Context, Decimal
from typing import Any

Exact = Decimal | int

# numeric(38,18) holds up to 38 digits and Python's default context only 28: sums would round.
_WIDE = Context(prec=90, rounding=ROUND_HALF_EVEN)
_PRECISE = Context(prec=38, rounding=ROUND_HALF_EVEN)
_TENTH = Decimal("0.1")


def cents(exact: Exact | None) -> int | None:
    """Return exact cents rounded half-even to whole cents; None (unpriced) stays None."""
    # round() of a Decimal is half-even and exact, whatever the context.
    return None if exact is None else round(exact)


def usd(exact_cents: Exact | None) -> str | None:
    """Return exact cents as a decimal string in dollars, without an exponent or trailing zeros; None stays
    None.
    """
    if exact_cents is None:
        return None
    if not exact_cents:
        return "0"
    text = format(Decimal(exact_cents).scaleb(-2, _WIDE), "f")
    return text.rstrip("0").rstrip(".") if "." in text else text


def money(name: str, exact_cents: Exact | None) -> dict[str, Any]:
    """Return the pair of fields ``<name>_cents`` and ``<name>_usd`` for exact cents."""
    return {f"{name}_cents": cents(exact_cents), f"{name}_usd": usd(exact_cents)}


def quantity(exact: Exact) -> int | float:
    """Return a quantity as a JSON number: an int where it is whole."""
    if isinstance(exact, int):
        return exact
    whole = exact.to_integral_value()
    return int(whole) if whole == exact else float(exact)


def optional_quantity(exact: Exact | None) -> int | float | None:
    """Return `quantity` of a value that may be absent (a cap, say)."""
    return None if exact is None else quantity(exact)


def percent(exact: Exact | None) -> float | None:
    """Return a percentage rounded half-even to one decimal; None stays None."""
    if exact is None:
        return None
    return float(Decimal(exact).quantize(_TENTH, context=_WIDE))


def share(part: Exact | None, whole: Exact | None) -> float | None:
    """Return ``part`` as a percentage of ``whole``; None where either is unknown or there is nothing to
    share.
    """
    if part is None or not whole:
        return None
    return percent(_WIDE.divide(_WIDE.multiply(Decimal(100), Decimal(part)), Decimal(whole)))


def average(whole: Exact | None, count: int) -> Exact | None:
    """Return ``whole`` ÷ ``count`` to 38 digits; None where the whole is unknown or there is nothing to divide by."""
    return None if whole is None or not count else _PRECISE.divide(Decimal(whole), Decimal(count))


def total(parts: Iterable[Exact]) -> Exact:
    """Return the exact sum of known values."""
    result: Exact = 0
    for part in parts:
        result = _WIDE.add(Decimal(result), Decimal(part))
    return result


def total_of_priced(parts: Iterable[Exact | None]) -> Exact | None:
    """Return the sum of the priced parts: None only if there are parts and none is priced."""
    seen = list(parts)
    priced = [part for part in seen if part is not None]
    return None if seen and not priced else total(priced)


def total_if_known(parts: Iterable[Exact | None]) -> Exact | None:
    """Return the sum of the parts, None as soon as one of them is unknown (billed figures)."""
    seen = list(parts)
    return None if any(part is None for part in seen) else total(part for part in seen if part is not None)
