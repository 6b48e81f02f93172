"""What a usage line costs and why: the formula behind a line, and the check of an explanation from what it says alone.

The choice of a price is dbt's (`int_usage_lines_estimated`); here is only the arithmetic that follows from it. `recompute`
and `problems` read a line as the API answers it (`/api/billing/usage/explain`), parsed from JSON, and nothing else.
"""

from __future__ import annotations

from calendar import monthrange
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import ROUND_HALF_UP, Context, Decimal
from typing import Any

from costs.rules.price_book import plain
from costs.rules.services import PRICE_DAYS, SERVICES

# Enough for a product of two numeric(38,18); an exact result needs no rounding before the one at the end.
_WIDE = Context(prec=120, rounding=ROUND_HALF_UP)
_LAST_DIGIT = Decimal(1).scaleb(-18)
_ZERO = Decimal(0)
_JSON_DIGITS = Decimal("1e-12")

MEASURES = (
    "unitCount",
    "requestCount",
    "inputTokens",
    "cachedInputTokens",
    "cacheWriteTokens",
    "cacheWrite1hTokens",
    "outputTokens",
)


@dataclass(frozen=True, slots=True)
class Quantities:
    """What a line used. The parts of ``input_tokens`` (``cached_input_tokens``, ``cache_write_tokens``, ``cache_write_1h_tokens``) share none of it;
    a residual's may be below 0.

    ``amount_usd``: of payments, what a percentage is taken of; None where it is not known. ``days``: see `price_days`. ``unit``: of AI,
    which is priced by input and output only where it is counted in tokens.
    """

    unit_count: Decimal
    input_tokens: int = 0
    cached_input_tokens: int = 0
    output_tokens: int = 0
    amount_usd: Decimal | None = None
    days: int = 1
    unit: str = "tokens"
    cache_write_tokens: int = 0
    cache_write_1h_tokens: int = 0


@dataclass(frozen=True, slots=True)
class Price:
    """A row of the price book: ``unit_price_usd`` for ``per`` units of ``component``."""

    price_id: str
    component: str
    unit_price_usd: Decimal
    per: Decimal


@dataclass(frozen=True, slots=True)
class Term:
    """One addend of a cost: ``quantity`` × price ÷ per ÷ days. ``component`` is what was used, the price may be another's."""

    component: str
    quantity: Decimal
    price: Price
    days: int = 1


def price_days(channel: str, day: date) -> int:
    """Return how many days a unit price is for: a number's is by the month of ``day``, a GB-month's by 30 days."""
    days = PRICE_DAYS.get(channel, "1")
    return monthrange(day.year, day.month)[1] if days == "month" else int(days)


def terms_of(service: str, used: Quantities, prices: Iterable[Price]) -> list[Term] | None:
    """Return the addends of a line's cost; none where nothing is to be priced; None where a price is missing.

    Cached or written input that has no price of its own takes that of input. What is not AI costs what its set has of a price by unit, a fixed
    one and a percentage.
    """
    by_component = {price.component: price for price in prices}
    priced: list[tuple[str, Decimal | None, tuple[str, ...]]]
    if service in SERVICES and SERVICES[service].prices_tokens and used.unit == "tokens":
        written = used.cache_write_tokens + used.cache_write_1h_tokens
        priced = [
            ("input", Decimal(used.input_tokens - used.cached_input_tokens - written), ("input",)),
            ("cached_input", Decimal(used.cached_input_tokens), ("cached_input", "input")),
            ("cache_write", Decimal(used.cache_write_tokens), ("cache_write", "input")),
            ("cache_write_1h", Decimal(used.cache_write_1h_tokens), ("cache_write_1h", "input")),
            ("output", Decimal(used.output_tokens), ("output",)),
        ]
    elif not used.unit_count:
        return []
    else:
        quantities = {"unit": used.unit_count, "fixed": used.unit_count, "percentage": used.amount_usd}
        priced = [(name, quantity, (name,)) for name, quantity in quantities.items() if name in by_component]
        if not priced:
            return None
    terms = []
    for component, quantity, names in priced:
        if quantity == 0:
            continue
        price = next((by_component[name] for name in names if name in by_component), None)
        if price is None or quantity is None:
            return None
        terms.append(Term(component, quantity, price, used.days if component == "unit" else 1))
    return terms


def cost_of(terms: Sequence[Term]) -> Decimal:
    """Return the exact sum of the terms in US dollars, rounded once, half away from zero, to 18 decimals.

    PostgreSQL computes the same: it rounds a quotient at 18 decimals or more, and those of prices with up to 12 decimals and
    ``per`` of 1, 1,000 or 1,000,000 have no more.
    """
    total = _ZERO
    for term in terms:
        product = _WIDE.multiply(term.quantity, term.price.unit_price_usd)
        total = _WIDE.add(total, _WIDE.divide(product, _WIDE.multiply(term.price.per, Decimal(term.days))))
    return total.quantize(_LAST_DIGIT, context=_WIDE)


def formula_of(terms: Sequence[Term]) -> str:
    """Return the terms as a person would write them: ``9000 × 0.15 ÷ 1000000 + …``; ``0`` for none."""
    parts = [
        f"{plain(term.quantity)} × {plain(term.price.unit_price_usd)} ÷ {plain(term.price.per)}"
        + (f" ÷ {term.days}" if term.days != 1 else "")
        for term in terms
    ]
    return " + ".join(parts) or "0"


def recompute(line: Mapping[str, Any]) -> Decimal | None:
    """Return the estimated cost of a line of an explanation, in US dollars, from its terms alone; None: unpriced."""
    if line["terms"] is None:
        return None
    return cost_of([_term(term) for term in line["terms"]])


def _term(term: Mapping[str, Any]) -> Term:
    price = Price(term["priceId"], term["component"], Decimal(term["unitPriceUsd"]), Decimal(term["per"]))
    return Term(term["component"], Decimal(term["quantity"]), price, term.get("days", 1))


def problems(line: Mapping[str, Any], day: str, *, is_adjusted: bool = False) -> list[str]:
    """Return what in a line's explanation contradicts its figures; empty: nothing.

    The cost must follow from the terms, the terms from the quantities and the price rows, the rows must be in effect on ``day``
    (ISO), and the quantities must be those of the records (checked where all of them are in the answer).

    Args:
        is_adjusted: the line is of a closed month, and its channel's day has adjustments: then its records are today's, and
            what they say beyond the line is in the adjustments.
    """
    return [*_price_problems(line, day), *_cost_problems(line, day), *([] if is_adjusted else _quantity_problems(line))]


def _price_problems(line: Mapping[str, Any], day: str) -> list[str]:
    findings = []
    rows = {row["priceId"]: row for row in (line["priceSet"] or {"prices": []})["prices"]}
    for row in rows.values():
        begins, ends = row["effectiveFrom"], row["effectiveTo"]
        if (begins and begins > day) or (ends and ends <= day):
            findings.append(f"price {row['priceId']} is not in effect on {day}")
    for term in line["terms"] or ():
        price_row = rows.get(term["priceId"])
        if price_row is None:
            findings.append(
                f"the term {term['component']} names a price that is not in the price set: {term['priceId']}"
            )
        elif any(Decimal(term[key]) != Decimal(price_row[key]) for key in ("unitPriceUsd", "per")):
            findings.append(f"the term {term['component']} has another price than {term['priceId']}")
    return findings


def _cost_problems(line: Mapping[str, Any], day: str) -> list[str]:
    findings = []
    amount = line.get("amountUsd")
    used = Quantities(
        _number(line["unitCount"]),
        line["inputTokens"],
        line["cachedInputTokens"],
        line["outputTokens"],
        amount_usd=None if amount is None else Decimal(amount),
        days=price_days(line.get("channel", ""), date.fromisoformat(day)),
        unit=line.get("unit", "tokens"),
        cache_write_tokens=line["cacheWriteTokens"],
        cache_write_1h_tokens=line["cacheWrite1hTokens"],
    )
    prices = [
        Price(row["priceId"], row["component"], Decimal(row["unitPriceUsd"]), Decimal(row["per"]))
        for row in (line["priceSet"] or {"prices": []})["prices"]
    ]
    expected = terms_of(line["service"], used, prices)
    stated_terms = None if line["terms"] is None else [_term(term) for term in line["terms"]]
    # What is set aside for its currency is unpriced whatever the prices are; nothing used without a price may be.
    is_nothing = expected == [] and line["priceSet"] is None
    if (expected is None) != (stated_terms is None) and not (
        stated_terms is None and (line.get("unconvertedCurrency") or is_nothing)
    ):
        findings.append(
            "it is unpriced, but its price set has the prices"
            if stated_terms is None
            else "a price it needs is missing"
        )
    elif expected is not None and stated_terms is not None:
        by_component = {term.component: (float(term.quantity), term.price.price_id, term.days) for term in stated_terms}
        if by_component != {
            term.component: (float(term.quantity), term.price.price_id, term.days) for term in expected
        }:
            findings.append("its terms do not follow from its quantities and prices")
    stated = line["estimatedCostUsd"]
    computed = recompute(line)
    if (None if stated is None else Decimal(stated)) != computed:
        findings.append(f"its terms come to {computed}, not to {stated}")
    return findings


def _quantity_problems(line: Mapping[str, Any]) -> list[str]:
    records = line["records"]
    own = {name: _number(line[name]) for name in MEASURES}
    findings = []
    settlement = line["settlement"]
    if settlement is not None:
        provider = {name: _number(settlement["provider"][name]) for name in MEASURES}
        tracked = {name: _number(settlement["tracked"][name]) for name in MEASURES}
        rest = {name: provider[name] - tracked[name] for name in MEASURES}
        if not settlement["isExact"]:
            rest = {name: max(value, _ZERO) for name, value in rest.items()}
        # Units follow from what is settled: tokens, or emails.
        service = SERVICES.get(line["service"])
        if service is not None and service.prices_tokens and line.get("unit", "tokens") == "tokens":
            rest["unitCount"] = rest["inputTokens"] + rest["outputTokens"]
        if rest != own:
            findings.append("its quantities are not provider less tracked")
        own = provider
    if len(records["items"]) == records["total"]:
        for name in MEASURES:
            told = [item[name] for item in records["items"]]
            if None in told:
                continue
            summed = sum((_number(value) for value in told), _ZERO)
            # A JSON number has 15 digits; whole quantities are exact.
            if abs(summed - own[name]) > abs(own[name]) * _JSON_DIGITS:
                findings.append(f"its {records['total']} records come to {name} {summed}, not to {own[name]}")
    return findings


def _number(value: Any) -> Decimal:
    # Through text: a JSON number that is not an integer has come as a float, whose shortest text is what was sent.
    return Decimal(str(value))
