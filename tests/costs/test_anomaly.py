"""A day is unusual against its own weekday, and its cause is the part that grew."""

from __future__ import annotations

from datetime import date, timedelta

import pytest

from costs.anomaly import FEWEST_DAYS, find_anomaly, find_cause

DAY = date(2026, 11, 20)  # a Friday
WEEK = {0: 100.0, 1: 110.0, 2: 105.0, 3: 95.0, 4: 120.0, 5: 10.0, 6: 5.0}


def quiet(days: int = 56) -> dict[date, float]:
    past = [DAY - timedelta(days=back) for back in range(1, days + 1)]
    return {day: WEEK[day.weekday()] + (day.toordinal() % 5) for day in past}


def first_of(usage: dict[date, float]) -> date:
    return min(usage)


def test_a_spike_is_found_with_what_was_expected() -> None:
    usage = {**quiet(), DAY: 600.0}
    found = find_anomaly(usage, DAY, first_of(usage))
    assert found is not None
    assert (found.day, found.value) == (DAY, 600.0)
    assert 120 <= found.expected <= 124
    assert found.score > 10


@pytest.mark.parametrize("value", [0.0, 120.0, 150.0, 170.0])
def test_an_ordinary_day_and_a_quiet_one_are_none(value: float) -> None:
    usage = {**quiet(), DAY: value}
    assert find_anomaly(usage, DAY, first_of(usage)) is None


def test_a_weekday_is_compared_with_its_like() -> None:
    """120 is an ordinary Friday, and a very strange Sunday."""
    sunday = DAY + timedelta(days=2)
    usage = {**quiet(), DAY: 122.0, DAY + timedelta(days=1): 11.0, sunday: 120.0}
    assert find_anomaly(usage, DAY, first_of(usage)) is None
    found = find_anomaly(usage, sunday, first_of(usage))
    assert found is not None
    assert found.expected < 12


def test_spikes_of_the_past_do_not_hide_the_next() -> None:
    usage = {**quiet(), DAY: 600.0, DAY - timedelta(days=7): 900.0, DAY - timedelta(days=20): 800.0}
    assert find_anomaly(usage, DAY, first_of(usage)) is not None


@pytest.mark.parametrize(("days", "is_known"), [(FEWEST_DAYS - 1, False), (FEWEST_DAYS, True)])
def test_too_little_history_says_nothing(days: int, is_known: bool) -> None:
    usage = {**quiet(days), DAY: 5000.0}
    assert (find_anomaly(usage, DAY, first_of(usage)) is not None) is is_known


def test_days_without_usage_count_as_such_from_the_first_day_on() -> None:
    usage = {DAY - timedelta(days=50): 1.0, DAY: 200.0}
    found = find_anomaly(usage, DAY, DAY - timedelta(days=50))
    assert found is not None
    assert found.expected == 0
    assert find_anomaly({**usage, DAY: 20.0}, DAY, DAY - timedelta(days=50)) is None  # rare things come in handfuls


def test_the_cause_is_the_part_that_exceeds_its_own_usual_amount_most() -> None:
    big_but_usual = quiet() | {DAY: 125.0}
    small_and_new = {DAY: 300.0}
    found = find_cause({("chat",): big_but_usual, ("broadcast",): small_and_new}, DAY, first_of(big_but_usual))
    assert found is not None
    assert (found.key, found.excess) == (("broadcast",), 300.0)
    assert find_cause({}, DAY, DAY) is None
