"""Days for which what a figure is made of was not answered, or before it was read."""

from __future__ import annotations

from datetime import date

import pytest

from api.kit.coverage import PROVIDERS, tables_by, unknown_days
from api.kit.periods import DayRange

DAYS = DayRange(date(2026, 11, 1), date(2026, 11, 6))

CHANNELS = tables_by("channel")

Source = dict[str, object]


def source(table: str, first: str, *unanswered: int) -> Source:
    return {"table_name": table, "first_day": first, "unanswered": [f"2026-11-{day:02}" for day in unanswered]}


@pytest.mark.parametrize(
    ("channel", "sources", "found"),
    [
        ("sms", [source("twilio_messages", "2026-10-01")], []),
        ("sms", [source("twilio_messages", "2026-10-01", 2, 3, 5)], [("no_answer", 2, 3), ("no_answer", 5, 5)]),
        ("storage", [source("r2_storage", "2026-11-04", 6)], [("not_metered", 1, 3), ("no_answer", 6, 6)]),
        # Nobody is set up that could have answered; a number has no day of its own.
        ("sms", [], []),
        ("phone", [source("twilio_phone_numbers", "2026-11-04", 5)], []),
        ("places", [source("r2_storage", "2026-11-04")], []),
        # Another table's answers are not this channel's.
        ("voice", [source("twilio_messages", "2026-11-04", 5)], []),
    ],
)
def test_runs_of_days(channel: str, sources: list[Source], found: list[tuple[str, int, int]]) -> None:
    gaps = unknown_days(CHANNELS[channel], sources, DAYS)
    assert [(gap.state, gap.start.day, gap.end.day) for gap in gaps] == found


def test_a_channel_of_several_providers_is_metered_from_the_first_and_misses_any() -> None:
    sources = [
        source("openai_usage_completions", "2026-11-02", 4),
        source("anthropic_usage", "2026-11-04", 4, 5),
    ]
    assert [
        (gap.state, gap.start.day, gap.end.day, gap.providers) for gap in unknown_days(CHANNELS["ai"], sources, DAYS)
    ] == [
        ("not_metered", 1, 1, ["anthropic", "openai"]),
        ("no_answer", 4, 4, ["anthropic", "openai"]),
        ("no_answer", 5, 5, ["anthropic"]),
    ]


def test_each_table_is_a_provider_s_and_some_service_s() -> None:
    of_providers = tables_by("provider")
    assert {table: provider for provider, tables in of_providers.items() for table in tables} == PROVIDERS
    assert {table for tables in tables_by("service").values() for table in tables} == set(PROVIDERS)
    assert of_providers["twilio"] == ("twilio_messages", "twilio_calls", "twilio_recordings")
    assert of_providers["google_places"] == ()
