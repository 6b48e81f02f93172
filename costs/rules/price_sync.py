"""What published prices would change in the price book: proposals, which a person reviews in the seed's diff.

The past of a price that the book has is never touched: who wrote it may know better. A published price that begins later than
the book's newest is proposed from its start; one that differs without a date is proposed from today.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal

from costs.rules.price_book import COLUMNS, OPTIONAL, Price
from costs.rules.published import Period, PublishedModel


@dataclass(frozen=True)
class Proposal:
    """A row to add, and (where it takes over) the line of the row that ends on its first day."""

    price: Price
    ends_line: int | None
    reason: str


def propose(
    book: Sequence[tuple[int, Price]], models: Iterable[PublishedModel], *, today: date, source: str
) -> list[Proposal]:
    """Return the rows that the published prices have and the book does not, in the order of the models."""
    # All that is known reaches back as far as the book does.
    first = min((price.effective_from for _, price in book if price.effective_from), default=today)
    by_key: dict[tuple[str, ...], list[tuple[int, Price]]] = {}
    for number, price in book:
        by_key.setdefault(price.key, []).append((number, price))
    proposals: list[Proposal] = []
    for model in models:
        for tier, components in {"": model.components, **model.tiers}.items():
            for component, periods in components.items():
                key = (model.service, model.operation, model.name, "", tier, component)
                known = sorted(by_key.get(key, ()), key=lambda entry: entry[1].begins)
                if known:
                    proposals += _changed(known, periods, today, source, model.per)
                else:
                    proposals += _new(model, tier, component, periods, first, source)
    return proposals


def _cited(source: str, period: Period) -> str:
    return f"{source}; up to {period.up_to:,} tokens of context" if period.up_to else source


def _new(
    model: PublishedModel, tier: str, component: str, periods: Sequence[Period], first: date, source: str
) -> list[Proposal]:
    rows: list[Price] = []
    for period in periods:
        begins = period.start or first
        if rows and begins <= rows[-1].begins:
            rows.pop()  # it ended before the book begins
        if rows:
            rows[-1] = replace(rows[-1], effective_to=begins)
        rows.append(
            Price(
                model.service,
                model.operation,
                model.name,
                "",
                component,
                period.price_usd,
                model.per,
                begins,
                None,
                _cited(source, period),
                tier,
            )
        )
    return [Proposal(row, None, "not in the book") for row in rows]


def _changed(
    known: Sequence[tuple[int, Price]], periods: Sequence[Period], today: date, source: str, per: Decimal
) -> list[Proposal]:
    number, last = known[-1]
    if last.effective_to is not None:
        return []  # ended by hand: no published price brings it back
    ends_line: int | None = number
    proposals: list[Proposal] = []
    for index, period in enumerate(periods):
        following = periods[index + 1].start if index + 1 < len(periods) else None
        if following is not None and following <= max(today, last.begins):
            continue  # a later one holds by now
        if period.price_usd * last.per == last.unit_price_usd * per:
            continue
        is_dated = period.start is not None and period.start > last.begins
        begins = period.start if is_dated else max(today, last.begins)
        assert begins is not None
        reason = f"changed on {begins}" if is_dated else "differs from the book; since when is not published"
        if begins == last.begins:
            continue  # the book's row begins only today or later: nothing to end
        row = replace(
            last, unit_price_usd=period.price_usd, per=per, effective_from=begins, source=_cited(source, period)
        )
        if proposals:
            proposals[-1] = replace(proposals[-1], price=replace(proposals[-1].price, effective_to=begins))
        proposals.append(Proposal(row, ends_line, reason))
        ends_line, last = None, row
    return proposals


def apply(text: str, proposals: Sequence[Proposal]) -> str:
    """Return the price book's file with the proposals in it: ended rows get their end, new rows come last.

    Every other line stays as it is, byte for byte, so that a review sees what changed and nothing else.
    """
    lines = text.splitlines()
    header = next(csv.reader(lines[:1]))
    if "tier" not in header and any(proposal.price.tier for proposal in proposals):
        header = [*header, "tier"]
        lines[0] = _line(header)
    ends: Mapping[int, Price] = {
        proposal.ends_line: proposal.price for proposal in proposals if proposal.ends_line is not None
    }
    for number, price in ends.items():
        cells = next(csv.reader([lines[number - 1]]))
        cells[header.index("effective_to")] = str(price.effective_from)
        lines[number - 1] = _line(cells)
    named = (dict(zip(COLUMNS, proposal.price.cells(), strict=False)) for proposal in proposals)
    for row in named:
        cells = [row.get(column, "") for column in header]
        lines.append(_line(cells if header[-1] not in OPTIONAL or cells[-1] else cells[:-1]))
    return "\n".join(lines) + "\n"


def _line(cells: Sequence[str]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="").writerow(cells)
    return text.getvalue()
