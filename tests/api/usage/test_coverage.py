"""Days for which a channel's providers have not answered, or before they were read."""

from __future__ import annotations

from datetime import date

import pytest
from fastapi.testclient import TestClient

from api.kit.periods import DayRange
from api.usage.coverage import gaps_of
from tests.api.conftest import AppStarter, Headers, execute

DAYS = DayRange(date(2026, 11, 1), date(2026, 11, 6))

Source = dict[str, object]
Found = tuple[str, str, int, int, list[str]]


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
    gaps = gaps_of([channel], sources, DAYS)
    assert [(gap.state, gap.start.day, gap.end.day) for gap in gaps] == found
    assert all(gap.channel == channel for gap in gaps)


def test_a_channel_of_several_providers_is_metered_from_the_first_and_misses_any() -> None:
    sources = [
        source("openai_usage_completions", "2026-11-02", 4),
        source("anthropic_usage", "2026-11-04", 4, 5),
    ]
    assert [(gap.state, gap.start.day, gap.end.day, gap.providers) for gap in gaps_of(["ai"], sources, DAYS)] == [
        ("not_metered", 1, 1, ["anthropic", "openai"]),
        ("no_answer", 4, 4, ["anthropic", "openai"]),
        ("no_answer", 5, 5, ["anthropic"]),
    ]


def test_the_daily_route_says_them(own_database: str, start_app: AppStarter, acme: Headers) -> None:
    execute(
        own_database,
        "insert into ops.source_reads select 'twilio_messages', 'AC2', day::date, 'twilio', 'load-2', now(), 0, 0"
        " from generate_series(timestamp '2026-11-10', timestamp '2026-11-16', interval '1 day') as day",
    )
    with start_app(own_database) as client:
        body = client.get("/api/billing/usage/daily", params={"from": "2026-11-08"}, headers=acme).json()
    # The 17th and today were not answered; the 18th and 19th were, of another account.
    assert body["gaps"] == [
        {"channel": "sms", "state": "not_metered", "from": "2026-11-08", "to": "2026-11-09", "providers": ["twilio"]},
        {"channel": "sms", "state": "no_answer", "from": "2026-11-17", "to": "2026-11-17", "providers": ["twilio"]},
        {"channel": "sms", "state": "no_answer", "from": "2026-11-20", "to": "2026-11-20", "providers": ["twilio"]},
    ]


def test_before_any_build_nothing_is_missing(own_database: str, start_app: AppStarter, acme: Headers) -> None:
    execute(own_database, "delete from ops.builds", "delete from ops.source_reads")
    with start_app(own_database) as client:
        body = client.get("/api/billing/usage/daily", headers=acme).json()
    assert body["gaps"] == []


def test_the_days_that_a_part_of_the_series_begins_with(client: TestClient, acme: Headers) -> None:
    body = client.get(
        "/api/billing/usage/daily", params={"from": "2026-11-18", "to": "2026-11-19"}, headers=acme
    ).json()
    assert body["gaps"] == []
