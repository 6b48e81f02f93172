"""The window is half-open and in UTC days, whatever it is made from; as-of is a variable or the clock."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest

from ingestion.windows import Window, lookback_days
from usage_metering.clock import as_of
from usage_metering.failures import ConfigError

FIRST, LAST = date(2026, 2, 27), date(2026, 3, 1)


def test_a_window_of_days_includes_both() -> None:
    window = Window.of_days(FIRST, LAST)
    assert window == Window(FIRST, date(2026, 3, 2))
    assert window.days() == [date(2026, 2, 27), date(2026, 2, 28), date(2026, 3, 1)]
    assert FIRST in window
    assert LAST in window
    assert window.end not in window
    assert "2026-02-27" not in window


def test_its_instants_are_utc_midnights() -> None:
    window = Window.of_days(FIRST, LAST)
    assert window.start_at == datetime(2026, 2, 27, tzinfo=UTC)
    assert window.end_at == datetime(2026, 3, 2, tzinfo=UTC)
    assert window.start_at.tzinfo is UTC


@pytest.mark.parametrize("end", [FIRST, FIRST - timedelta(days=1)])
def test_a_window_that_ends_before_it_starts_is_an_error(end: date) -> None:
    with pytest.raises(ValueError, match="a window must end after its start"):
        Window(FIRST, end)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("2026-11-21", datetime(2026, 11, 21, tzinfo=UTC)),
        ("2026-11-21T08:30:00", datetime(2026, 11, 21, 8, 30, tzinfo=UTC)),
        ("2026-11-21T08:30:00Z", datetime(2026, 11, 21, 8, 30, tzinfo=UTC)),
        ("2026-11-21T23:30:00-05:00", datetime(2026, 11, 22, 4, 30, tzinfo=UTC)),
        (" 2026-11-21 ", datetime(2026, 11, 21, tzinfo=UTC)),
    ],
)
def test_as_of_is_what_the_variable_says_in_utc(text: str, wanted: datetime) -> None:
    found = as_of({"METERING_AS_OF": text})
    assert found == wanted
    assert found.utcoffset() == timedelta(0)


@pytest.mark.parametrize("environ", [{}, {"METERING_AS_OF": ""}])
def test_without_the_variable_as_of_is_the_clock(environ: dict[str, str]) -> None:
    assert abs(as_of(environ) - datetime.now(UTC)) < timedelta(seconds=5)


def test_an_unreadable_as_of_names_the_variable() -> None:
    with pytest.raises(ConfigError, match="METERING_AS_OF is not an ISO date or timestamp"):
        as_of({"METERING_AS_OF": "yesterday"})


@pytest.mark.parametrize(
    "text", ["0001-01-01", "0001-01-01T00:00:00+05:00", "1969-12-31", "9999-01-01", "9999-12-31T23:00:00-05:00"]
)
def test_an_as_of_at_the_ends_of_the_calendar_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="METERING_AS_OF"):
        as_of({"METERING_AS_OF": text})


@pytest.mark.parametrize(("text", "days"), [(None, 3), ("", 3), ("0", 0), (" 7 ", 7), ("366", 366)])
def test_the_lookback_is_a_variable_or_three_days(text: str | None, days: int) -> None:
    assert lookback_days({} if text is None else {"METERING_LOOKBACK_DAYS": text}) == days


@pytest.mark.parametrize("text", ["-1", "3.5", "367", "three"])
def test_a_lookback_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="METERING_LOOKBACK_DAYS must be a whole number of days from 0 to 366"):
        lookback_days({"METERING_LOOKBACK_DAYS": text})
