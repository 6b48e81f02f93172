"""The forecast's reason, order and scale; and its worth on held-out months."""

from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.forecasts import HELD_OUT_MONTHS, KINDS, backtest
from costs.rules.forecast import CapForecast, Days, cap_forecast, forecast

TODAY = date(2026, 11, 16)  # a Monday; 15 complete days
OFFICE = (100, 110, 105, 100, 90, 40, 25)


def office_days(count: int, today: date = TODAY) -> list[Decimal]:
    """Return the days before ``today`` of a tenant that keeps to its week exactly."""
    return [Decimal(OFFICE[(today - timedelta(days=age)).weekday()]) for age in range(count, 0, -1)]


def test_a_tenant_that_keeps_to_its_week_is_forecast_by_weekdays() -> None:
    days = Days(TODAY, office_days(84))
    found = forecast(days)
    assert found is not None
    rest = sum(OFFICE[(TODAY + timedelta(days=number)).weekday()] for number in range(15))
    actual = days.month_to_date() + rest
    assert abs(found.expected - actual) < actual / 50
    assert found.low < actual < found.high
    # 30 days of November at the pace of the first 15, which had three Sundays: the projection is further off.
    assert abs(days.month_to_date() * 2 - actual) > abs(found.expected - actual)


def test_the_interval_is_wider_where_days_scatter_and_where_little_is_known() -> None:
    def width(values: list[Decimal]) -> Decimal:
        found = forecast(Days(TODAY, values))
        assert found is not None
        return (found.high - found.low) / found.expected

    steady = [Decimal(100)] * 84
    jumping = [Decimal(20 + 160 * (number % 2)) for number in range(84)]
    assert width(steady) < width(jumping)
    assert width(steady) < width(steady[:5])


def test_the_days_of_a_cap_lie_in_order_around_the_true_one() -> None:
    days = Days(TODAY, office_days(84))
    cap = days.month_to_date() + 400  # Monday to Thursday: 100 + 110 + 105 + 100
    found = cap_forecast(days, cap)
    assert found is not None
    assert found.earliest is not None
    assert found.likely is not None
    assert found.latest is not None
    assert found.earliest <= found.likely <= found.latest
    assert found.earliest <= date(2026, 11, 19) <= found.latest
    assert found.probability > Decimal("0.99")


def test_a_cap_beyond_the_month_has_no_day() -> None:
    found = cap_forecast(Days(TODAY, office_days(84)), Decimal(100_000))
    assert found == CapForecast(None, None, None, Decimal(0))


def test_a_reached_cap_is_a_fact_with_its_day() -> None:
    days = Days(TODAY, [Decimal(10)] * 84, so_far=Decimal(7))
    for cap, day in ((10, 1), (11, 2), (150, 15), (151, 16), (157, 16), (0, 1)):
        found = cap_forecast(days, Decimal(cap))
        reached = date(2026, 11, day)
        assert found == CapForecast(reached, reached, reached, Decimal(1), is_reached=True), cap
    unreached = cap_forecast(days, Decimal(158))
    assert unreached is not None
    assert not unreached.is_reached
    assert unreached.likely == TODAY


def test_without_a_complete_day_nothing_is_forecast_but_a_reached_cap_is_said() -> None:
    began_today = Days(TODAY, [], so_far=Decimal(5))
    assert forecast(began_today) is None
    assert cap_forecast(began_today, Decimal(6)) is None
    assert cap_forecast(began_today, Decimal(5)) == CapForecast(TODAY, TODAY, TODAY, Decimal(1), is_reached=True)
    assert cap_forecast(Days(TODAY, []), Decimal(0)) == CapForecast(
        *[date(2026, 11, 1)] * 3, Decimal(1), is_reached=True
    )


def test_who_uses_nothing_will_use_nothing() -> None:
    days = Days(TODAY, [Decimal(0)] * 30)
    found = forecast(days)
    assert found is not None
    assert (found.low, found.expected, found.high) == (0, 0, 0)
    assert cap_forecast(days, Decimal(1)) == CapForecast(None, None, None, Decimal(0))


def test_next_to_nothing_is_nothing() -> None:
    days = Days(TODAY.replace(day=30), [Decimal(1)], rest_of_today=5e-279)
    assert cap_forecast(days, Decimal(2)) == CapForecast(None, None, None, Decimal(0))
    assert forecast(days) is not None


def test_what_is_left_of_today_counts_in_proportion() -> None:
    last = date(2026, 11, 30)
    values = [Decimal(100)] * 84
    over = forecast(Days(last, values, Decimal(100), rest_of_today=0.0))
    assert over is not None
    assert over.low == over.expected == over.high == 3000
    half = forecast(Days(last, values, Decimal(50), rest_of_today=0.5))
    assert half is not None
    assert half.expected == 3000


amounts = st.lists(st.integers(0, 10**9).map(Decimal), min_size=1, max_size=90)


@settings(max_examples=60, deadline=None)
@given(
    values=amounts,
    so_far=st.integers(0, 10**6).map(Decimal),
    day=st.integers(1, 30),
    rest=st.floats(0, 1),
    caps=st.tuples(st.integers(0, 10**9), st.integers(0, 10**9)),
)
def test_order_holds_for_any_usage(
    values: list[Decimal], so_far: Decimal, day: int, rest: float, caps: tuple[int, int]
) -> None:
    days = Days(date(2026, 11, day), values, so_far, rest)
    found = forecast(days)
    assert found is not None
    assert days.month_to_date() <= found.low <= found.high
    assert days.month_to_date() <= found.expected
    never = date(2027, 1, 1)
    lower, higher = (cap_forecast(days, Decimal(cap)) for cap in sorted(caps))
    assert lower is not None
    assert higher is not None
    for cap in (lower, higher):
        assert (cap.earliest or never) <= (cap.likely or never) <= (cap.latest or never)
        assert 0 <= cap.probability <= 1
    assert lower.probability >= higher.probability
    assert (lower.likely or never) <= (higher.likely or never)


@settings(max_examples=30, deadline=None)
@given(values=amounts, factor=st.sampled_from([2, 1024]))
def test_the_unit_does_not_matter(values: list[Decimal], factor: int) -> None:
    one = forecast(Days(TODAY, values))
    other = forecast(Days(TODAY, [value * factor for value in values]))
    assert one is not None
    assert other is not None
    for name in ("expected", "low", "high"):
        assert float(getattr(other, name)) == pytest.approx(float(getattr(one, name)) * factor, rel=1e-6, abs=factor)


def test_on_held_out_months_the_intervals_hold_and_the_projection_is_beaten() -> None:
    tally = backtest(range(500, 507), HELD_OUT_MONTHS)
    assert tally.totals > 350
    assert 0.7 < tally.coverage() < 0.9
    assert tally.cap_coverage() > 0.8
    assert tally.error() < 0.8
    assert set(tally.by_kind) == set(KINDS)
