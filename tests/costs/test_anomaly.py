"""Unusual days and their cause."""

from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal

import pytest

from bench.spikes import detect, generate, naive, score
from costs.rules.anomaly import Cause, Expectation, Line, dense, expectation, find_cause

DAY = date(2026, 11, 18)  # a Wednesday
FLOOR = Decimal(100)


def weeks(number: int, pattern: tuple[int, ...] = (500,) * 7) -> dict[date, Decimal]:
    """Return so many weeks before DAY with a figure per weekday, Monday first."""
    days = [DAY - timedelta(days=back) for back in range(1, 7 * number + 1)]
    return {day: Decimal(pattern[day.weekday()]) for day in days}


def test_even_usage_may_vary_by_seven_tenths() -> None:
    assert expectation(weeks(8), DAY, floor=FLOOR) == Expectation(Decimal(500), Decimal(850))


def test_a_weekday_is_compared_with_its_like() -> None:
    history = weeks(8, (1000, 1000, 1000, 1000, 1000, 100, 100))
    saturday = expectation(history, DAY - timedelta(days=4), floor=FLOOR)
    assert saturday is not None
    assert (round(saturday.expected), round(saturday.threshold)) == (100, 200)
    wednesday = expectation(history, DAY, floor=FLOOR)
    assert wednesday is not None
    assert (round(wednesday.expected), round(wednesday.threshold)) == (1000, 1700)


def test_noise_widens_what_is_usual() -> None:
    noisy = {day: amount + (50 if day.toordinal() % 2 else -50) * 2 for day, amount in weeks(8).items()}
    found = expectation(noisy, DAY, floor=FLOOR)
    assert found is not None
    assert found.threshold > 1000


def test_earlier_spikes_do_not_hide_a_new_one() -> None:
    history = weeks(8)
    for back in (3, 10, 12, 20, 33):
        history[DAY - timedelta(days=back)] = Decimal(50_000)
    found = expectation(history, DAY, floor=FLOOR)
    assert found is not None
    assert found.threshold < 1000


def test_growth_is_followed() -> None:
    history = {day: amount * (2 if day >= DAY - timedelta(days=28) else 1) for day, amount in weeks(8).items()}
    found = expectation(history, DAY, floor=FLOOR)
    assert found is not None
    assert found.expected > 800


@pytest.mark.parametrize(("days", "known"), [(20, False), (21, True)])
def test_a_short_history_says_nothing(days: int, known: bool) -> None:
    history = {day: amount for day, amount in weeks(8).items() if day >= DAY - timedelta(days=days)}
    assert (expectation(history, DAY, floor=FLOOR) is not None) is known


def test_what_is_used_now_and_then_is_compared_with_its_highest_day() -> None:
    history = weeks(8, (0,) * 7)
    assert expectation(history, DAY, floor=FLOOR) == Expectation(Decimal(0), FLOOR)
    history[DAY - timedelta(days=9)] = Decimal(400)
    assert expectation(history, DAY, floor=FLOOR) == Expectation(Decimal(0), Decimal(600))


def test_days_after_and_long_before_are_not_looked_at() -> None:
    history = weeks(8) | {
        DAY: Decimal(10**6),
        DAY + timedelta(days=1): Decimal(10**6),
        DAY - timedelta(days=57): Decimal(10**9),
    }
    assert expectation(history, DAY, floor=FLOOR) == expectation(weeks(8), DAY, floor=FLOOR)


def test_a_day_without_usage_is_zero_and_an_unknown_one_absent() -> None:
    first = date(2026, 11, 1)
    rows = {first + timedelta(days=2): Decimal(5), first + timedelta(days=4): None}
    found = dense(rows, first, first + timedelta(days=5))
    assert {day.day: int(amount) for day, amount in found.items()} == {3: 5, 4: 0, 6: 0}
    assert dense({}, first, first) == {}


def line(day: date, feature: str, model: str, operation: str, amount: int) -> Line:
    return Line(day, feature, model, operation, Decimal(amount))


BEFORE = [DAY - timedelta(weeks=week) for week in range(1, 5)]


def test_the_cause_is_the_dimension_that_explains_most() -> None:
    lines = [line(day, feature, "m", "chat", 100) for day in BEFORE for feature in ("a", "b")]
    lines += [line(DAY, "a", "m", "chat", 150), line(DAY, "b", "m", "chat", 300), line(DAY, "b", "big", "chat", 750)]
    assert find_cause(lines, DAY, BEFORE) == Cause("feature", "b", Decimal(950), Decimal(950) / 1000)


def test_a_new_model_in_every_feature_is_the_cause() -> None:
    lines = [line(day, feature, "m", "chat", 100) for day in [*BEFORE, DAY] for feature in ("a", "b")]
    lines += [line(DAY, feature, "big", "chat", 500) for feature in ("a", "b")]
    assert find_cause(lines, DAY, BEFORE) == Cause("model", "big", Decimal(1000), Decimal(1))


def test_where_there_is_only_one_of_everything_the_feature_is_named() -> None:
    lines = [line(day, "a", "", "out", 100) for day in BEFORE] + [line(DAY, "a", "", "out", 400)]
    assert find_cause(lines, DAY, BEFORE) == Cause("feature", "a", Decimal(300), Decimal(1))


def test_nothing_that_grew_has_no_cause() -> None:
    assert find_cause([line(day, "a", "", "out", 100) for day in [*BEFORE, DAY]], DAY, BEFORE) is None


def test_labelled_spikes_are_found_and_little_else() -> None:
    made = generate(series=12, days=120)
    found, simple = score(made, detect), score(made, naive)
    assert found.hits + found.misses >= 10
    assert found.recall >= 0.9
    assert found.precision >= 0.8
    assert found.recall > simple.recall
