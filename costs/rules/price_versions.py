"""Versions of the price book: what makes two the same, what differs between two, and on which days.

A row is its texts as `price_book.csv` has them, its tier last, and only where it has one. `ops.keep_price_book` makes the same rows and the same version of the
seed's table in PostgreSQL; a test holds the two against each other.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
from collections.abc import Iterable
from datetime import date, timedelta
from decimal import ROUND_HALF_UP, Decimal
from typing import NamedTuple

# numeric(38,18), as the seed's columns are.
_SCALE = Decimal(1).scaleb(-18)


class PriceRow(NamedTuple):
    """A row of the price book: '' where any, open or unsaid; numbers exact, without trailing zeros; dates ISO."""

    service: str
    operation: str
    model: str
    plan: str
    component: str
    unit_price_usd: str
    per: str
    effective_from: str
    effective_to: str
    source: str
    tier: str = ""

    @property
    def what(self) -> tuple[str, ...]:
        """What is priced: see `PriceChange`."""
        return (self.service, self.operation, self.model, self.plan, self.component, self.tier)

    @property
    def name(self) -> str:
        """What a person calls the row."""
        what = " ".join(part for part in self.what if part)
        return f"{what} from {self.effective_from or 'ever'}"

    def is_in_effect(self, day: date) -> bool:
        text = day.isoformat()
        return self.effective_from <= text and (not self.effective_to or text < self.effective_to)


def read_rows(text: str) -> list[PriceRow]:
    """Return the rows of a price book's CSV text, as dbt's seed takes them: an empty or `null` cell is none.

    Raises:
        ValueError: a column is missing or a number is not one, in one line that names the row.
    """
    rows: list[PriceRow] = []
    for number, record in enumerate(csv.DictReader(io.StringIO(text)), start=2):
        try:
            cells = {name: _cell(record[name]) for name in PriceRow._fields if name != "tier" or name in record}
            cells |= {name: _number(cells[name]) for name in ("unit_price_usd", "per")}
        except (KeyError, ArithmeticError) as error:
            raise ValueError(f"price_book.csv, line {number}: {error!r} cannot be read as a price") from None
        rows.append(PriceRow(**cells))
    return rows


def _cell(value: str | None) -> str:
    return "" if value is None or value.strip().lower() in ("", "null") else value


def _number(text: str) -> str:
    exact = Decimal(text).quantize(_SCALE, rounding=ROUND_HALF_UP)
    plain = f"{exact:f}".rstrip("0").rstrip(".")
    return "0" if plain in ("", "-0") else plain


def version_of(rows: Iterable[PriceRow]) -> str:
    """Return the version: sha256, hexadecimal, of the rows as JSON arrays in the order of their bytes."""
    # A book without tiers has the version that it had before there were any.
    texts = (list(row) if row.tier else list(row)[:-1] for row in rows)
    lines = sorted(json.dumps(cells, ensure_ascii=False).encode() for cells in texts)
    return hashlib.sha256(b"\n".join(lines)).hexdigest()


class PriceChange(NamedTuple):
    """What is priced (as in `PriceRow`), and the days ``first`` to ``last`` (both included) on which its price is another."""

    service: str
    operation: str
    model: str
    plan: str
    component: str
    first: date
    last: date
    tier: str = ""


PricesByDay = dict[tuple[str, ...], dict[date, set[tuple[str, str]]]]


def by_day(rows: Iterable[PriceRow], first: date, last: date) -> PricesByDay:
    """Return (price, per) of each day from ``first`` to ``last`` (both included) by what is priced: a row that is ended
    later, begun earlier or cut in two says the same about a day.
    """
    days = [first + timedelta(days=offset) for offset in range((last - first).days + 1)]
    prices: PricesByDay = {}
    for row in rows:
        for day in days:
            if row.is_in_effect(day):
                prices.setdefault(row.what, {}).setdefault(day, set()).add((row.unit_price_usd, row.per))
    return prices


def price_changes(before: Iterable[PriceRow], now: Iterable[PriceRow], first: date, last: date) -> list[PriceChange]:
    """Return which prices differ on which days from ``first`` to ``last`` (both included), also those that came or went."""
    then, there = _differing_by_day(before, now, first, last)
    changes: list[PriceChange] = []
    for what in sorted(then.keys() | there.keys()):
        days = then.get(what, {}).keys() | there.get(what, {}).keys()
        run: list[date] = []
        for day in sorted(day for day in days if then.get(what, {}).get(day) != there.get(what, {}).get(day)):
            if run and day - run[-1] > timedelta(days=1):
                changes.append(_change(what, run))
                run = []
            run.append(day)
        if run:
            changes.append(_change(what, run))
    return changes


def _differing_by_day(
    before: Iterable[PriceRow], now: Iterable[PriceRow], first: date, last: date
) -> tuple[PricesByDay, PricesByDay]:
    """Return `by_day` of both, of what does not have the same rows in both: of a book that changed little that is little."""
    old, new = list(before), list(now)
    differing = {row.what for row in {r._replace(source="") for r in old} ^ {r._replace(source="") for r in new}}
    then, there = (by_day((row for row in rows if row.what in differing), first, last) for rows in (old, new))
    return then, there


def _change(what: tuple[str, ...], run: list[date]) -> PriceChange:
    service, operation, model, plan, component, tier = what
    return PriceChange(service, operation, model, plan, component, run[0], run[-1], tier)


def altered_prices(before: Iterable[PriceRow], now: Iterable[PriceRow], first: date, last: date) -> list[str]:
    """Return a line for each price of ``before`` that is not the same now on a day of the range, naming it.

    What is only in ``now`` is new and alters nothing.
    """
    then, there = _differing_by_day(before, now, first, last)
    lines: list[str] = []
    for what, days in sorted(then.items()):
        differing = [day for day in sorted(days) if there.get(what, {}).get(day) != days[day]]
        if differing:
            day = differing[0]
            name = " ".join(part for part in what if part)
            lines.append(
                f"{name} was {_prices(days[day])} on {day} and is {_prices(there.get(what, {}).get(day, set()))} now"
            )
    return lines


def _prices(prices: set[tuple[str, str]]) -> str:
    return " or ".join(f"{price} per {per}" for price, per in sorted(prices)) or "none"
