"""GET /api/billing/usage/daily: which of its days are not known."""

from __future__ import annotations

from fastapi.testclient import TestClient

from tests.api.conftest import AppStarter, Headers, execute


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
