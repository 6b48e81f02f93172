"""Which days the nightly run takes."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest

from builds.due import due_window, is_done
from builds.ledger import DayState
from ingestion.run import PROVIDERS
from ingestion.windows import Window

NOW = datetime(2026, 11, 21, 0, 20, tzinfo=UTC)
TODAY = NOW.date()
START = date(2026, 11, 1)


def state(day: date, *, provider: str = "twilio", built_as_of: date | None = None, ingested: bool = True) -> DayState:
    built = NOW if built_as_of else None
    return DayState(provider, day, NOW if ingested else None, built, built_as_of)


def days(first: date, last: date) -> list[date]:
    return Window.of_days(first, last).days()


def due(states: list[DayState], **changes: object) -> Window | None:
    arguments: dict[str, object] = {
        "start": START,
        "as_of_day": TODAY,
        "providers": ["twilio"],
        "states": states,
        "lookback_days": 3,
    }
    return due_window(**(arguments | changes))  # type: ignore[arg-type]


def built_every_night(until: date) -> list[DayState]:
    """What a scheduler leaves behind that ran each night, the last time on ``until``."""
    return [
        state(day, built_as_of=min(day + timedelta(days=4), until)) for day in days(START, until - timedelta(days=1))
    ]


@pytest.mark.parametrize(
    ("clock_was_at", "first"),
    [
        # An hour ahead, after 23:00, is a day by date; ten days ahead make days seem final that are not.
        (TODAY + timedelta(days=1), START),
        (TODAY + timedelta(days=10), START),
        (TODAY, date(2026, 11, 17)),
        # A clock that was behind built them too young: they are taken again.
        (TODAY - timedelta(days=1), date(2026, 11, 17)),
    ],
)
def test_what_was_built_while_the_clock_was_elsewhere(clock_was_at: date, first: date) -> None:
    built = [state(day, built_as_of=clock_was_at) for day in days(START, TODAY - timedelta(days=1))]
    assert due(built) == Window.of_days(first, TODAY - timedelta(days=1))
    # By the clock as it was, nothing before its own lookback is due: a jump asks for no day that is to come.
    ahead = due(built, as_of_day=clock_was_at)
    assert ahead is not None
    assert ahead.end == clock_was_at


def test_nothing_recorded_means_everything_since_the_start() -> None:
    assert due([]) == Window.of_days(START, date(2026, 11, 20))


@pytest.mark.parametrize(
    ("providers", "retention", "first"),
    [
        (["twilio"], {"twilio": 10}, date(2026, 11, 11)),
        (["twilio"], {"twilio": 2}, date(2026, 11, 17)),
        (["twilio"], {"twilio": 400}, START),
        (["twilio"], {"twilio": None}, START),
        (["twilio", "openai"], {"twilio": 10, "openai": None}, START),
        (["twilio", "cloudflare"], {"twilio": 12, "cloudflare": 10}, date(2026, 11, 9)),
    ],
)
def test_the_range_does_not_begin_before_what_a_provider_still_keeps(
    providers: list[str], retention: dict[str, int | None], first: date
) -> None:
    found = due([], providers=providers, retention_days=retention)
    assert found == Window.of_days(first, date(2026, 11, 20))


def test_every_source_says_how_far_back_it_can_be_asked() -> None:
    days = {name: spec.retention_days for name, spec in PROVIDERS.items()}
    assert days == {
        "twilio": 400,
        "openai": None,
        "anthropic": None,
        "sendgrid": None,
        "stripe": None,
        "cloudflare": 30,
    }


def test_after_a_regular_night_it_is_yesterday_the_lookback_and_the_day_that_becomes_final() -> None:
    assert due(built_every_night(date(2026, 11, 20))) == Window.of_days(date(2026, 11, 17), date(2026, 11, 20))


def test_ten_nights_without_a_scheduler_heal_together_with_the_days_that_were_not_final_then() -> None:
    # The last run was on the 11th: it left the 8th, 9th and 10th inside its lookback.
    assert due(built_every_night(date(2026, 11, 11))) == Window.of_days(date(2026, 11, 8), date(2026, 11, 20))


@pytest.mark.parametrize(
    "hole",
    [
        pytest.param(state(date(2026, 11, 5), ingested=False), id="failed or interrupted ingest"),
        pytest.param(state(date(2026, 11, 5)), id="ingested, never built"),
        pytest.param(state(date(2026, 11, 5), built_as_of=date(2026, 11, 8)), id="built inside the lookback only"),
    ],
)
def test_one_earlier_day_that_is_not_done_opens_the_range(hole: DayState) -> None:
    others = [found for found in built_every_night(date(2026, 11, 20)) if found.usage_date != hole.usage_date]
    assert due([*others, hole]) == Window.of_days(date(2026, 11, 5), date(2026, 11, 20))


def test_a_day_must_be_done_for_every_provider() -> None:
    states = built_every_night(date(2026, 11, 20))
    assert due(states, providers=["twilio", "openai"]) == Window.of_days(START, date(2026, 11, 20))


def test_no_provider_still_rebuilds_the_lookback() -> None:
    assert due([], providers=[]) == Window.of_days(date(2026, 11, 17), date(2026, 11, 20))


def test_the_start_bounds_the_lookback() -> None:
    assert due([], start=date(2026, 11, 19)) == Window.of_days(date(2026, 11, 19), date(2026, 11, 20))


def test_on_the_first_day_of_all_nothing_is_over_yet() -> None:
    assert due([], start=TODAY) is None


def test_a_day_is_done_only_when_it_was_already_older_than_the_lookback() -> None:
    assert not is_done(state(date(2026, 11, 10), built_as_of=date(2026, 11, 13)), 3)
    assert is_done(state(date(2026, 11, 10), built_as_of=date(2026, 11, 14)), 3)


def test_the_range_begins_after_the_last_archived_month() -> None:
    # Of a provider that was set up since, no day is done: those in files, and those before them, are nobody's to read.
    assert due([], archived={"2026-10"}) == Window.of_days(START, TODAY - timedelta(days=1))
    assert due([], start=date(2026, 8, 1), archived={"2026-09"}) == Window.of_days(
        date(2026, 10, 1), TODAY - timedelta(days=1)
    )
    touched = [date(2026, 9, 30), date(2026, 11, 2)]
    assert due(built_every_night(TODAY), start=date(2026, 9, 1), archived={"2026-10"}, touched=touched) == (
        Window.of_days(date(2026, 11, 2), TODAY - timedelta(days=1))
    )
    # In the first days of a month the lookback reaches into the one before.
    assert due([], start=date(2026, 9, 1), as_of_day=date(2026, 11, 2), archived={"2026-10"}) == Window.of_days(
        date(2026, 11, 1), date(2026, 11, 1)
    )
