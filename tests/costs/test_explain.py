"""The arithmetic of a line, and the check that an explanation bears out its figures."""

from __future__ import annotations

import copy
from collections.abc import Callable
from datetime import date
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from costs.rules.explain import Price, Quantities, cost_of, formula_of, price_days, problems, recompute, terms_of

DAY = "2026-11-20"
INPUT = Price("in", "input", Decimal("0.15"), Decimal(1_000_000))
CACHED = Price("cached", "cached_input", Decimal("0.075"), Decimal(1_000_000))
OUTPUT = Price("out", "output", Decimal("0.6"), Decimal(1_000_000))
UNIT = Price("unit", "unit", Decimal("0.0083"), Decimal(1))


PERCENTAGE = Price("share", "percentage", Decimal("0.029"), Decimal(1))
FIXED = Price("each", "fixed", Decimal("0.3"), Decimal(1))


def payments(count: int, amount: str | None) -> Quantities:
    return Quantities(Decimal(count), amount_usd=None if amount is None else Decimal(amount))


def tokens(given_in: int, cached: int = 0, out: int = 0) -> Quantities:
    return Quantities(Decimal(given_in + out), given_in, cached, out)


@pytest.mark.parametrize(
    ("service", "used", "prices", "cost"),
    [
        ("twilio_sms", Quantities(Decimal(217)), [UNIT], "1.8011"),
        ("twilio_sms", Quantities(Decimal(0)), [], "0"),
        ("twilio_sms", Quantities(Decimal(1)), [], None),
        ("openai", tokens(1000, 400, 50), [INPUT, CACHED, OUTPUT], "0.00015"),
        ("openai", tokens(1000, 400), [INPUT], "0.00015"),
        ("openai", tokens(1000, 1000), [CACHED], "0.000075"),
        ("openai", tokens(1000, 0, 1), [INPUT], None),
        ("openai", tokens(-10, 0, -5), [INPUT, OUTPUT], "-0.0000045"),
        ("openai", tokens(0), [], "0"),
        ("openai", tokens(5), [UNIT], None),
        ("stripe", payments(3, "123.45"), [PERCENTAGE, FIXED], "4.48005"),
        ("stripe", payments(3, "123.45"), [FIXED], "0.9"),
        ("stripe", payments(3, "123.45"), [UNIT, FIXED], "0.9249"),
        ("stripe", payments(3, None), [PERCENTAGE, FIXED], None),
        ("stripe", payments(3, None), [FIXED], "0.9"),
        ("stripe", payments(3, "0"), [PERCENTAGE], "0"),
        ("stripe", payments(0, None), [PERCENTAGE], "0"),
        ("stripe", payments(3, "1"), [], None),
        (
            "twilio_phone",
            Quantities(Decimal(3), days=31),
            [Price("n", "unit", Decimal("1.15"), Decimal(1))],
            "0.111290322580645161",
        ),
    ],
)
def test_a_cost_needs_the_prices_of_what_was_used(
    service: str, used: Quantities, prices: list[Price], cost: str | None
) -> None:
    terms = terms_of(service, used, prices)
    assert (None if terms is None else cost_of(terms)) == (None if cost is None else Decimal(cost))


@pytest.mark.parametrize(
    ("used", "prices", "cost"),
    [
        ((100_000, 0, 0, 100_000), {"input": "2", "cached_input": "0.2", "cache_write": "2.5"}, "0.25"),
        (
            (2_600, 2_000, 100, 400),
            {"input": "2", "cached_input": "0.2", "cache_write": "2.5", "output": "10"},
            "0.0028",
        ),
        ((1_000, 0, 0, 0), {"input": "0.75", "output": "4.5"}, "0.00075"),
        ((1_000, 0, 0, 400), {"input": "0.75"}, "0.00075"),
        ((1_000, 0, 0, 400), {"input": "0.75", "cache_write_1h": "9"}, "0.00075"),
        # claude-sonnet-5: 200 × 2 + 2,000 × 0.2 + 100 × 2.5 + 300 × 4 + 50 × 10, by the million.
        (
            (2_600, 2_000, 50, 100, 300),
            {"input": "2", "cached_input": "0.2", "cache_write": "2.5", "cache_write_1h": "4", "output": "10"},
            "0.00275",
        ),
        ((1_000, 0, 0, 0, 400), {"input": "0.75", "cache_write": "9"}, "0.00075"),
        ((1_000, 0, 0, 1_000), {"output": "4.5"}, None),
    ],
)
def test_what_is_written_to_the_cache_has_a_price_of_its_own(
    used: tuple[int, ...], prices: dict[str, str], cost: str | None
) -> None:
    given, cached, out, written, *hour = used
    quantities = Quantities(
        Decimal(given + out), given, cached, out, cache_write_tokens=written, cache_write_1h_tokens=sum(hour)
    )
    rows = [Price(name, name, Decimal(price), Decimal(1_000_000)) for name, price in prices.items()]
    terms = terms_of("openai", quantities, rows)
    assert (None if terms is None else cost_of(terms)) == (None if cost is None else Decimal(cost))


def test_the_formula_is_what_a_person_would_write() -> None:
    terms = terms_of("openai", tokens(1000, 400, 50), [INPUT, CACHED, OUTPUT])
    assert terms is not None
    assert formula_of(terms) == "600 × 0.15 ÷ 1000000 + 400 × 0.075 ÷ 1000000 + 50 × 0.6 ÷ 1000000"
    assert formula_of([]) == "0"
    terms = terms_of("stripe", payments(3, "123.45"), [PERCENTAGE, FIXED])
    assert terms is not None
    assert formula_of(terms) == "3 × 0.3 ÷ 1 + 123.45 × 0.029 ÷ 1"
    terms = terms_of("cloudflare_r2", Quantities(Decimal("2.5"), days=30), [UNIT])
    assert terms is not None
    assert formula_of(terms) == "2.5 × 0.0083 ÷ 1 ÷ 30"


@pytest.mark.parametrize(
    ("channel", "day", "days"),
    [
        ("phone", "2026-02-10", 28),
        ("phone", "2028-02-10", 29),
        ("phone", "2026-03-31", 31),
        ("storage", "2026-02-10", 30),
        ("sms", "2026-02-10", 1),
    ],
)
def test_a_price_by_the_month_is_for_its_days(channel: str, day: str, days: int) -> None:
    assert price_days(channel, date.fromisoformat(day)) == days


@given(
    st.lists(
        st.tuples(
            st.integers(-(10**12), 10**12),
            st.decimals(min_value=0, max_value=1000, places=12),
            st.sampled_from([1, 1000, 1_000_000]),
        ),
        max_size=3,
    )
)
def test_it_is_exact_for_prices_of_up_to_twelve_decimals(parts: list[tuple[int, Decimal, int]]) -> None:
    from costs.rules.explain import Term

    cost = cost_of([Term("unit", Decimal(n), Price("p", "unit", price, Decimal(per))) for n, price, per in parts])
    assert Fraction(cost) == sum((Fraction(n) * Fraction(price) / per for n, price, per in parts), Fraction(0))


def measures(units: int, requests: int = 0, given_in: int = 0, cached: int = 0, out: int = 0) -> dict[str, int]:
    return {
        "unitCount": units,
        "requestCount": requests,
        "inputTokens": given_in,
        "cachedInputTokens": cached,
        "cacheWriteTokens": 0,
        "cacheWrite1hTokens": 0,
        "outputTokens": out,
    }


def price_row(price: Price) -> dict[str, Any]:
    return {
        "priceId": price.price_id,
        "component": price.component,
        "unitPriceUsd": str(price.unit_price_usd),
        "per": str(price.per),
        "effectiveFrom": "2026-01-01",
        "effectiveTo": None,
    }


def residual() -> dict[str, Any]:
    """A line as the API answers it: what OpenAI has beyond what was tracked."""
    return {
        **measures(350, 2, 300, 100, 50),
        "service": "openai",
        "estimatedCostUsd": "0.0000675",
        "terms": [
            {"component": "input", "quantity": "200", "unitPriceUsd": "0.15", "per": "1000000", "priceId": "in"},
            {
                "component": "cached_input",
                "quantity": "100",
                "unitPriceUsd": "0.075",
                "per": "1000000",
                "priceId": "cached",
            },
            {"component": "output", "quantity": "50", "unitPriceUsd": "0.6", "per": "1000000", "priceId": "out"},
        ],
        "priceSet": {"prices": [price_row(price) for price in (INPUT, CACHED, OUTPUT)]},
        "settlement": {
            "isExact": True,
            "provider": measures(1060, 5, 1000, 100, 60),
            "tracked": measures(710, 3, 700, 0, 10),
        },
        "records": {"total": 2, "items": [measures(530, 2, 500, 100, 30), measures(530, 3, 500, 0, 30)]},
    }


def test_a_sound_explanation_has_no_problems() -> None:
    assert problems(residual(), DAY) == []
    assert recompute(residual()) == Decimal("0.0000675")


def test_records_that_are_not_all_there_are_not_summed() -> None:
    line = residual()
    line["records"]["items"].pop()
    assert problems(line, DAY) == []


def test_unpriced_is_borne_out_by_the_missing_price() -> None:
    line = residual()
    line |= {"terms": None, "estimatedCostUsd": None}
    line["priceSet"]["prices"].pop()
    assert problems(line, DAY) == []
    assert recompute(line) is None


def put(*path: Any) -> Callable[[dict[str, Any]], None]:
    """Return what sets the value at the end of a path."""

    def change(line: Any) -> None:
        *names, last, value = path
        for name in names:
            line = line[name]
        line[last] = value

    return change


@pytest.mark.parametrize(
    ("change", "word"),
    [
        (put("estimatedCostUsd", "0.0000676"), "come to"),
        (put("estimatedCostUsd", None), "come to"),
        (put("terms", 0, "quantity", "201"), "terms do not follow"),
        (put("terms", 0, "unitPriceUsd", "0.16"), "another price"),
        (put("terms", 0, "priceId", "other"), "not in the price set"),
        (put("terms", None), "unpriced, but"),
        (put("priceSet", "prices", 0, "effectiveFrom", "2026-11-21"), "not in effect"),
        (put("priceSet", "prices", 0, "effectiveTo", "2026-11-20"), "not in effect"),
        (put("priceSet", None), "missing"),
        (put("inputTokens", 301), "terms do not follow"),
        (put("settlement", "tracked", "requestCount", 4), "not provider less tracked"),
        (put("settlement", "provider", "inputTokens", 1001), "not provider less tracked"),
        (put("records", "items", 0, "unitCount", 531), "records come to"),
        (put("records", "items", 0, "cachedInputTokens", 99), "records come to"),
    ],
)
def test_whatever_is_altered_is_found(change: Callable[[dict[str, Any]], None], word: str) -> None:
    line = copy.deepcopy(residual())
    change(line)
    assert any(word in problem for problem in problems(line, DAY)), problems(line, DAY)


def test_a_provisional_residual_is_only_what_the_provider_has_more() -> None:
    line = residual()
    line["settlement"] |= {"isExact": False}
    line["settlement"]["tracked"] = measures(2_000, 9, 1_990, 0, 10)
    line |= {**measures(50 + 0, 0, 0, 100, 50), "unitCount": 50}
    line["terms"] = [
        {"component": "input", "quantity": "-100", "unitPriceUsd": "0.15", "per": "1000000", "priceId": "in"},
        *line["terms"][1:],
    ]
    line["estimatedCostUsd"] = "0.0000225"
    assert problems(line, DAY) == []
