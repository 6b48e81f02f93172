"""The price book as a file: its rows, what is wrong with them, and how one period takes the place of another.

Which price a line takes is dbt's to choose (`int_usage_lines_estimated`); nothing here chooses one.
"""

from __future__ import annotations

import csv
import io
from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, fields, replace
from datetime import date
from decimal import Decimal, InvalidOperation
from itertools import pairwise

from costs.rules.services import COUNTED, SERVICES, TOKEN_COMPONENTS

FILE = "price_book.csv"

COMPONENTS = ("unit", *TOKEN_COMPONENTS, "percentage", "fixed")
PERS = (Decimal(1), Decimal(1000), Decimal(1_000_000))

# What numeric(38,18) holds.
DECIMALS, WHOLE_DIGITS = 18, 20

# Of AI: how a call was processed, and whether its input was so long that the whole call costs more.
LONG_CONTEXT = "long_context"
PROCESSING = ("batch", "flex", "priority", "scale", "ultrafast", "fast_mode")
TIERS = (*PROCESSING, LONG_CONTEXT, *(f"{name}_{LONG_CONTEXT}" for name in PROCESSING))

Key = tuple[str, str, str, str, str, str]


class PriceBookError(Exception):
    """The price book cannot be used: ``problems`` has a line per row that is wrong, the message the first of them."""

    def __init__(self, problems: Sequence[str]) -> None:
        more = f" (and {len(problems) - 1} more: `metering prices check` lists them)" if len(problems) > 1 else ""
        super().__init__(problems[0] + more)
        self.problems = tuple(problems)


@dataclass(frozen=True)
class Price:
    """One row: the price in USD of ``per`` units; empty operation, model, plan or tier is any; no date is open.

    ``effective_from`` is the first day of the price, ``effective_to`` the day after its last.
    """

    service: str
    operation: str
    model: str
    plan: str
    component: str
    unit_price_usd: Decimal
    per: Decimal
    effective_from: date | None
    effective_to: date | None
    source: str
    tier: str = ""

    @property
    def key(self) -> Key:
        """What may have one price a day."""
        return (self.service, self.operation, self.model, self.plan, self.tier, self.component)

    @property
    def begins(self) -> date:
        """The first day, as a date that compares."""
        return self.effective_from or date.min

    @property
    def ends(self) -> date:
        """The day after the last, as a date that compares."""
        return self.effective_to or date.max

    def cells(self) -> list[str]:
        """Return the row as the file has it, in the order of `COLUMNS`; one without a tier ends before it."""
        cells = [_cell(getattr(self, name)) for name in COLUMNS]
        return cells if self.tier else cells[: -len(OPTIONAL)]

    def __str__(self) -> str:
        named = (
            self.service,
            self.operation,
            self.model,
            self.plan,
            *([self.tier] if self.tier else ()),
            self.component,
        )
        return "/".join(part or "any" for part in named)


COLUMNS = tuple(field.name for field in fields(Price))
OPTIONAL = ("tier",)
"""The last columns, which a file or the end of a row may lack: books from before they were known are books all the same."""
_REQUIRED = COLUMNS[: -len(OPTIONAL)]


def plain(amount: Decimal) -> str:
    """Return an amount without an exponent and without zeros at its end: 0.0083, 10."""
    text = format(amount, "f")
    return (text.rstrip("0").rstrip(".") if "." in text else text) or "0"


def _cell(value: object) -> str:
    if value is None:
        return ""
    return plain(value) if isinstance(value, Decimal) else str(value)


def read_rows(text: str, columns: Sequence[str], name: str) -> list[tuple[int, dict[str, str]]]:
    """Return a CSV file's rows, stripped, each with its line number (the header is line 1); blank lines are none.

    A row may end before the columns of `OPTIONAL` that end the header: their cells are empty.

    Raises:
        PriceBookError: a column is missing, or a row has another number of cells than the header.
    """
    lines = list(csv.reader(io.StringIO(text.removeprefix("\ufeff"))))
    header = [cell.strip() for cell in lines[0]] if lines else []
    if missing := [column for column in columns if column not in header]:
        raise PriceBookError([f"{name} row 1: column {missing[0]} is missing (the header is {','.join(columns)})"])
    rows = []
    for number, cells in enumerate(lines[1:], start=2):
        if not any(cell.strip() for cell in cells):
            continue
        if header[len(cells) :] and set(header[len(cells) :]) <= set(OPTIONAL):
            cells = [*cells, *[""] * (len(header) - len(cells))]
        if len(cells) != len(header):
            raise PriceBookError([f"{name} row {number}: {len(cells)} cells where the header has {len(header)}"])
        rows.append((number, dict(zip(header, (cell.strip() for cell in cells), strict=True))))
    return rows


def parse_book(text: str, name: str = FILE) -> list[tuple[int, Price]]:
    """Return the file's prices, each with its line number.

    Raises:
        PriceBookError: a cell is no amount or no date; every such row is named.
    """
    prices: list[tuple[int, Price]] = []
    problems: list[str] = []
    blanks = _lines_with_blanks(text)
    for number, row in read_rows(text, _REQUIRED, name):
        if number in blanks:
            problems.append(
                f"{name} row {number}: a cell begins or ends with a blank, which the build takes for part of it"
            )
            continue
        try:
            prices.append((number, _price(row)))
        except ValueError as error:
            problems.append(f"{name} row {number}: {error}")
    if problems:
        raise PriceBookError(problems)
    return prices


def _lines_with_blanks(text: str) -> set[int]:
    lines = enumerate(csv.reader(io.StringIO(text.removeprefix("\ufeff"))), start=1)
    return {number for number, cells in lines if any(cell != cell.strip() for cell in cells)}


def _price(row: dict[str, str]) -> Price:
    return Price(
        **{name: row[name] for name in ("service", "operation", "model", "plan", "component", "source")},
        tier=row.get("tier", ""),
        unit_price_usd=amount(row["unit_price_usd"], "unit_price_usd"),
        per=amount(row["per"], "per"),
        effective_from=day(row["effective_from"], "effective_from"),
        effective_to=day(row["effective_to"], "effective_to"),
    )


def amount(text: str, column: str) -> Decimal:
    """Return a cell's amount.

    Raises:
        ValueError: it is not a number, or has more digits than the database keeps.
    """
    try:
        value = Decimal(text)
    except InvalidOperation:
        raise ValueError(f"{column} is not a number: {text or '(empty)'}") from None
    if not value.is_finite():
        raise ValueError(f"{column} is not a number: {text}")
    exponent = value.as_tuple().exponent
    if isinstance(exponent, int) and (-exponent > DECIMALS or value.adjusted() >= WHOLE_DIGITS):
        raise ValueError(
            f"{column} has too many digits (at most {WHOLE_DIGITS} before the point, {DECIMALS} after): {text}"
        )
    return value


def day(text: str, column: str) -> date | None:
    """Return a cell's day; None where it is empty.

    Raises:
        ValueError: it is no ISO date.
    """
    if not text:
        return None
    try:
        value = date.fromisoformat(text)
    except ValueError:
        value = None
    # Other spellings of ISO (20261001, 2026-W40-4) are another text to whoever compares texts: versions of the book do.
    if value is None or value.isoformat() != text:
        raise ValueError(f"{column} is not a date (write 2026-10-01): {text}")
    return value


def check(prices: Iterable[tuple[int, Price]], *, plans: Collection[str], name: str = FILE, gaps: bool = True) -> None:
    """Hold every price against the rules.

    Args:
        plans: the plans that exist.
        gaps: whether days without a price between two periods of one key are a fault; a proposal may have them.

    Raises:
        PriceBookError: naming file and row of everything that is wrong.
    """
    numbered = list(prices)
    problems = [(number, complaint) for number, price in numbered for complaint in _complaints(price, plans)]
    by_key: dict[Key, list[tuple[int, Price]]] = defaultdict(list)
    for number, price in numbered:
        if price.begins < price.ends:
            by_key[price.key].append((number, price))
    for periods in by_key.values():
        problems += _between(sorted(periods, key=lambda entry: (entry[1].begins, entry[0])), gaps)
    if problems:
        raise PriceBookError([f"{name} row {number}: {complaint}" for number, complaint in sorted(problems)])


def _complaints(price: Price, plans: Collection[str]) -> Iterable[str]:
    service = SERVICES.get(price.service)
    if service is None:
        yield f"unknown service {price.service or '(empty)'} (one of {', '.join(SERVICES)})"
        return
    operations = service.operations
    if price.operation and operations is not None and price.operation not in operations:
        yield f"unknown operation {price.operation} of {price.service} (one of {', '.join(operations)}, or empty for any)"
    allowed = ("unit",) if price.operation in COUNTED else service.components
    if price.component not in COMPONENTS:
        yield f"unknown component {price.component or '(empty)'} (one of {', '.join(COMPONENTS)})"
    elif price.component not in allowed:
        yield f"component {price.component} does not apply to {price.service}: use {', '.join(allowed)}"
    if price.plan and price.plan not in plans:
        yield f"unknown plan {price.plan} (one of {', '.join(sorted(plans))}, or empty for any)"
    if price.tier and not service.prices_tokens:
        yield f"{price.service} has no tiers: leave tier empty instead of {price.tier}"
    elif price.tier and price.tier not in TIERS:
        yield f"unknown tier {price.tier} (one of {', '.join(TIERS)}, or empty for any)"
    if price.unit_price_usd < 0:
        yield f"unit_price_usd is negative: {price.unit_price_usd}"
    if price.component == "percentage" and price.unit_price_usd > price.per:
        yield f"a percentage is the price of 1 dollar (0.029 is 2.9 %), not {price.unit_price_usd} per {price.per}"
    if price.per not in PERS:
        yield f"per must be one of {', '.join(map(str, PERS))}, not {price.per}"
    if price.begins >= price.ends:
        yield f"effective_to {price.effective_to} is not after effective_from {price.effective_from or '(open)'}"


def _between(periods: Sequence[tuple[int, Price]], gaps: bool) -> Iterable[tuple[int, str]]:
    # The row that reaches furthest so far: an open period overlaps all that follow, not only the next.
    furthest = periods[0] if periods else None
    for _, (number, price) in pairwise(periods):
        assert furthest is not None
        other_number, other = furthest
        if price.begins < other.ends:
            yield number, f"overlaps row {other_number} of {price} from {price.effective_from or 'the beginning'}"
        elif gaps and price.begins > other.ends:
            yield (
                number,
                f"leaves {price} without a price from {other.effective_to}, where row {other_number} ends, to {price.effective_from}",
            )
        if price.ends > other.ends:
            furthest = (number, price)


def render(prices: Iterable[Price]) -> str:
    """Return a price book file."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows(price.cells() for price in prices)
    return text.getvalue()


def carve(prices: Iterable[Price], proposed: Price) -> list[Price]:
    """Return the prices with ``proposed`` in the place of whatever its key had in its period.

    What the key had before and after stays; a price that reached across is cut in two.
    """
    kept: list[Price] = []
    for price in prices:
        if price.key != proposed.key or price.ends <= proposed.begins or price.begins >= proposed.ends:
            kept.append(price)
            continue
        if price.begins < proposed.begins:
            kept.append(replace(price, effective_to=proposed.effective_from))
        if price.ends > proposed.ends:
            kept.append(replace(price, effective_from=proposed.effective_to))
    return [*kept, proposed]


def differences(old: Iterable[Price], new: Iterable[Price]) -> tuple[list[Price], list[Price]]:
    """Return the prices that ``new`` no longer has, and those that it has in addition. A source is no price."""

    def figures(prices: Iterable[Price]) -> dict[tuple[object, ...], Price]:
        return {
            (*price.key, price.unit_price_usd, price.per, price.effective_from, price.effective_to): price
            for price in prices
        }

    before, after = figures(old), figures(new)
    return (
        [price for figure, price in before.items() if figure not in after],
        [price for figure, price in after.items() if figure not in before],
    )
