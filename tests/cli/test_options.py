"""What the options mean, and what is refused with exit 2."""

from __future__ import annotations

from datetime import date, timedelta

import pytest

from cli.errors import UsageError
from cli.rebuild import parse_window
from cli.tokens import mint, parse_ttl
from ingestion.windows import Window


@pytest.fixture(autouse=True)
def _pinned(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("METERING_AS_OF", "2026-11-21")
    monkeypatch.setenv("METERING_START_DATE", "2026-10-01")


def test_both_ends_are_included() -> None:
    assert parse_window("2026-10-01", "2026-10-31", None) == Window(date(2026, 10, 1), date(2026, 11, 1))


def test_days_count_back_from_today() -> None:
    assert parse_window(None, None, 7) == Window(date(2026, 11, 15), date(2026, 11, 22))


def test_more_days_than_there_are_stop_at_the_start() -> None:
    assert parse_window(None, None, 1000) == Window(date(2026, 10, 1), date(2026, 11, 22))


def test_to_defaults_to_today() -> None:
    assert parse_window("2026-11-20", None, None) == Window(date(2026, 11, 20), date(2026, 11, 22))


@pytest.mark.parametrize(
    ("first", "last", "days", "says"),
    [
        (None, None, None, "which days"),
        ("2026-11-01", None, 7, "exclude each other"),
        (None, None, 0, "at least 1"),
        ("1.11.2026", None, None, "--from takes a date"),
        ("2026-11-01", "tomorrow", None, "--to takes a date"),
        ("2026-11-05", "2026-11-04", None, "is after --to"),
        ("2026-11-05", "2026-11-22", None, "as-of day 2026-11-21"),
        ("2026-09-30", "2026-10-02", None, "METERING_START_DATE 2026-10-01"),
    ],
)
def test_what_cannot_be_meant_is_refused_by_name(
    first: str | None, last: str | None, days: int | None, says: str
) -> None:
    with pytest.raises(UsageError, match=says):
        parse_window(first, last, days)


@pytest.mark.parametrize(("text", "seconds"), [("90s", 90), ("30m", 1800), ("1h", 3600), ("7d", 7 * 86400)])
def test_a_time_to_live(text: str, seconds: int) -> None:
    assert parse_ttl(text) == timedelta(seconds=seconds)


@pytest.mark.parametrize("text", ["", "1", "h", "0h", "-1h", "1w", "1h30m"])
def test_not_a_time_to_live(text: str) -> None:
    with pytest.raises(UsageError, match="--ttl"):
        parse_ttl(text)


def test_a_token_needs_a_known_role_a_tenant_and_a_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match="--role takes"):
        mint("owner", None, "1h")
    with pytest.raises(UsageError, match="needs --tenant"):
        mint("tenant_admin", None, "1h")
    monkeypatch.delenv("METERING_JWT_SECRET", raising=False)
    with pytest.raises(UsageError, match="METERING_JWT_SECRET is not set"):
        mint("root_admin", None, "1h")
