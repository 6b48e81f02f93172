"""Amounts and statuses as people read them in a terminal: rounded and coloured here and nowhere before."""

from __future__ import annotations

from decimal import ROUND_HALF_EVEN, Decimal

from costs.rules.price_book import plain

CENT = Decimal("0.01")
_STYLES = {"ok": "green", "warning": "yellow", "over_cap": "red"}


def usd(amount: Decimal | None) -> str:
    """Return whole cents, half-even; what is not known is a question mark."""
    return "?" if amount is None else f"{amount.quantize(CENT, ROUND_HALF_EVEN):,}"


def change(old: Decimal | None, new: Decimal | None) -> tuple[str, str]:
    """Return the difference and its percent of ``old``; an exact 0 is an equals sign, not a rounded one.

    Of what is not known the difference is not known either, even where neither is.
    """
    if old is None or new is None:
        return ("?", "")
    if old == new:
        return ("=", "")
    percent = "" if old == 0 else f"{(new - old) * 100 / abs(old):+.1f}"
    return (f"{(new - old).quantize(CENT, ROUND_HALF_EVEN):+,}", percent)


def exact(amount: Decimal | None) -> str | None:
    """Return every digit, without zeros at the end."""
    return None if amount is None else plain(amount)


def coloured(status: str) -> str:
    """Return the status of a limit with rich's markup."""
    return f"[{_STYLES[status]}]{status}[/]"
