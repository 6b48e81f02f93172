"""What the tenant's page decides by itself, without a database."""

from __future__ import annotations

from datetime import date

import pytest

from api.dashboard.tenant_view import (
    Day,
    compact,
    dollars,
    final_until,
    limit_sentence,
    outlook_note,
    periods_offered,
    previous_month,
    this_month,
)
from api.forecast.schemas import CapForecast
from api.kit.periods import Month

NOVEMBER = Month(date(2026, 11, 1))


@pytest.mark.parametrize(
    ("channel", "unit", "metric", "used", "cap", "sentence"),
    [
        ("sms", "segments", "units", 650, 1000, "Used 650 of 1,000 SMS this month"),
        ("sms", "segments", "requests", 650, 1000, "Used 650 of 1,000 messages this month"),
        ("voice", "minutes", "units", 1, None, "Used 1 voice minute this month"),
        ("voice", "minutes", "requests", 12.5, 1, "Used 12.5 of 1 call this month"),
        ("email", "emails", "requests", 0, 500, "Used 0 of 500 emails this month"),
        ("ai", "tokens", "cost_cents", 0.5, 2000, "Used $0.00 of $20.00 for AI this month"),
        ("ai", "tokens", "units", 1234567, None, "Used 1,234,567 AI tokens this month"),
        ("new", "widgets", "units", 2, 3, "Used 2 of 3 widgets this month"),
    ],
)
def test_sentences(channel: str, unit: str, metric: str, used: float, cap: float | None, sentence: str) -> None:
    assert limit_sentence(channel, unit, metric, used, cap, "this month") == sentence


def test_a_month_that_is_over_has_a_name() -> None:
    assert this_month(NOVEMBER, True) == "this month"
    assert this_month(NOVEMBER, False) == "in November 2026"


def test_months_go_back_over_the_new_year() -> None:
    assert previous_month(Month(date(2026, 1, 1))).key == "2025-12"
    assert [key for key, _ in periods_offered(date(2026, 2, 28), Month(date(2026, 2, 1)))][:3] == [
        "2026-02",
        "2026-01",
        "2025-12",
    ]


@pytest.mark.parametrize(
    ("finals", "until"),
    [([], None), ([True, True], 2), ([True, False, True], 1), ([False, True], None), ([True, False, False], 1)],
)
def test_days_are_final_up_to_the_first_open_one(finals: list[bool], until: int | None) -> None:
    days = [Day(date(2026, 11, number), [], "0", is_final) for number, is_final in enumerate(finals, start=1)]
    assert final_until(days[::-1]) == (date(2026, 11, until) if until else None)


def cap(outlook: str, earliest: int | None = None, likely: int | None = None) -> CapForecast:
    def day(number: int | None) -> date | None:
        return date(2026, 11, number) if number else None

    return CapForecast.model_construct(outlook=outlook, earliest_date=day(earliest), likely_date=day(likely))


def test_the_cap_that_is_reached_first_is_told() -> None:
    assert outlook_note([cap("likely", 20, 27), cap("likely", 22, 25), cap("possible", 21)]) == (
        "Likely to reach its cap by Nov 25"
    )
    assert outlook_note([cap("possible", 28), cap("unlikely")]) == "May reach its cap by Nov 28"
    assert outlook_note([cap("reached"), cap("no_cap"), cap("unknown")]) == ""


@pytest.mark.parametrize(
    ("value", "money", "short"),
    [
        (0, "$0", "0"),
        (0.25, "$0.25", "0.25"),
        (2, "$2", "2"),
        (12.5, "$12.50", "12.5"),
        (0.004, "$0.004", "0.004"),
        (1500, "$1,500", "1.5K"),
        (2e6, "$2,000,000", "2M"),
    ],
)
def test_axes_are_short(value: float, money: str, short: str) -> None:
    assert dollars(value) == money
    assert compact(value) == short
