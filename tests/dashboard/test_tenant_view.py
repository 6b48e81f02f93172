"""What the tenant's page decides by itself, without a database."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from api.dashboard.tenant_choice import Choice
from api.dashboard.tenant_view import (
    final_until,
    interval_of,
    limit_sentence,
    outlook_note,
    partial_note,
    periods_offered,
    previous_month,
    this_month,
)
from api.forecast.schemas import CapForecast, CostForecast, UsageForecast
from api.kit.periods import DayRange, Month
from api.usage.schemas import DailyRow, DailySeries, Gap

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


def series(finals: list[bool], gaps: list[Gap] | None = None) -> DailySeries:
    rows = [
        DailyRow(
            date=date(2026, 11, number),
            channel=channel,
            unit="segments",
            unit_count=1,
            request_count=1,
            estimated_cost_cents=1,
            estimated_cost_usd="0.01",
            billed_cost_cents=None,
            billed_cost_usd=None,
            unpriced_unit_count=0,
            unpriced_units=[],
            provisional_unit_count=0,
            is_final=is_final,
            group={},
        )
        for number, is_final in enumerate(finals, start=1)
        for channel in ("sms", "storage")
    ]
    return DailySeries(
        data_as_of=None,
        tenant_id="acme",
        start=NOVEMBER.first,
        end=date(2026, 11, len(finals)),
        granularity="day",
        time_zone="UTC",
        starts_at=datetime(2026, 11, 1, tzinfo=UTC),
        ends_at=datetime(2026, 11, 1, tzinfo=UTC) + timedelta(days=len(finals)),
        built_at=None,
        rows=rows,
        gaps=gaps or [],
    )


@pytest.mark.parametrize(
    ("finals", "until"),
    [([True, True], 2), ([True, False, True], 1), ([False, True], None), ([True, False, False], 1)],
)
def test_days_are_final_up_to_the_first_open_one(finals: list[bool], until: int | None) -> None:
    assert final_until(series(finals)) == (date(2026, 11, until) if until else None)


def choice(last: int, **changed: Any) -> Choice:
    today = date(2026, 11, last)
    return replace(Choice(today, NOVEMBER, DayRange(NOVEMBER.first, today), is_month=True), **changed)


def not_metered(channel: str, last: int) -> Gap:
    return Gap(
        channel=channel, state="not_metered", start=NOVEMBER.first, end=date(2026, 11, last), providers=["cloudflare"]
    )


@pytest.mark.parametrize(
    ("gaps", "note"),
    [
        ([], "Day 9 of 30"),
        ([not_metered("storage", 4)], "Day 9 of 30; Storage metered from Nov 5 on"),
        ([not_metered("storage", 4), not_metered("sms", 4)], "Day 9 of 30; metered from Nov 5 on"),
        (
            [not_metered("storage", 4), not_metered("sms", 6)],
            "Day 9 of 30; Storage metered from Nov 5 on; SMS metered from Nov 7 on",
        ),
        # Nothing was used of it.
        ([not_metered("voice", 4)], "Day 9 of 30"),
    ],
)
def test_a_period_that_is_not_whole_says_so(gaps: list[Gap], note: str) -> None:
    assert partial_note(series([True] * 9, gaps), choice(9)) == note


def test_a_whole_month_has_nothing_to_say() -> None:
    assert partial_note(series([True] * 30), choice(30)) == ""
    other = choice(9, days=DayRange(date(2026, 11, 2), date(2026, 11, 9)), is_month=False)
    assert partial_note(series([True] * 9), other) == ""


def forecast(low: int | None, expected: int | None, high: int | None) -> UsageForecast:
    cost = CostForecast.model_construct(low_cost_cents=low, expected_cost_cents=expected, high_cost_cents=high)
    return UsageForecast.model_construct(cost=cost)


def test_the_expected_month_is_inside_its_interval() -> None:
    interval = interval_of(forecast(1000, 2000, 4000))
    assert interval is not None
    assert 0 < interval.low < interval.expected < interval.high < 100
    assert interval_of(forecast(None, None, None)) is None
    assert interval_of(None) is None
    nothing = interval_of(forecast(0, 0, 0))
    assert nothing is not None
    assert (nothing.low, nothing.high) == (0, 0)


@pytest.mark.parametrize(
    ("chosen", "query"),
    [
        (choice(20), {}),
        (choice(20, by="month", of="sms.units"), {"by": "month", "of": "sms.units"}),
        (choice(20, sort="feature", descending=False), {"sort": "feature"}),
        (choice(20, sort="cost", descending=False, search="x"), {"order": "asc", "search": "x"}),
        (choice(20, month=Month(date(2026, 10, 1)), group="none"), {"period": "2026-10", "group": "none"}),
        (choice(20, is_month=False, trailing=7), {"days": 7}),
        (choice(20, is_month=False, grain="week"), {"from": "2026-11-01", "to": "2026-11-20", "grain": "week"}),
    ],
)
def test_a_choice_is_its_address(chosen: Choice, query: dict[str, Any]) -> None:
    assert {name: value for name, value in chosen.query().items() if value is not None} == query


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
