"""What the options mean, and what is refused with exit 2."""

from __future__ import annotations

from datetime import date, timedelta

import pytest
from typer.testing import CliRunner

from cli.close import close, costs
from cli.errors import UsageError
from cli.main import app
from cli.options import parse_day, parse_month, parse_ttl
from cli.rebuild import parse_window
from cli.tokens import mint, sign_in_link
from ingestion.windows import Window
from sandbox.generate import FEWEST_TENANTS


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


def test_more_days_than_the_calendar_has_stop_at_the_start() -> None:
    assert parse_window(None, None, 99_999_999) == Window(date(2026, 10, 1), date(2026, 11, 22))


@pytest.mark.parametrize("text", ["0000-01", "0001-01", "9999-12", "2026-13", "2026-1", "26-01", "2026-10-01", ""])
def test_not_a_month(text: str) -> None:
    with pytest.raises(UsageError, match="--month takes a month"):
        parse_month(text, "--month")


@pytest.mark.parametrize("text", ["0001-01-01", "9999-12-31", "2026-02-30", "20261001", "2026-W40-1", ""])
def test_not_a_day(text: str) -> None:
    with pytest.raises(UsageError, match="--date takes a date"):
        parse_day(text, "--date")


@pytest.mark.parametrize("words", [["0000-01"], ["verify", "0000-01"]])
def test_a_month_that_cannot_be_is_not_closed(words: list[str]) -> None:
    with pytest.raises(UsageError, match="takes a month"):
        close(words)


@pytest.mark.parametrize(
    ("at", "month"), [("2026-11-05", "0000-01"), ("0001-01-01", "2026-10"), ("9999-12-31T23:59", "2026-10")]
)
def test_costs_at_an_instant_outside_the_calendar_are_refused(at: str, month: str) -> None:
    with pytest.raises(UsageError, match=r"takes an? (month|instant)"):
        costs(at, month)


@pytest.mark.parametrize(
    "arguments",
    [
        ["serve", "--port", "99999"],
        ["serve", "--port", "-1"],
        ["sandbox", "--port", "0"],
        ["sandbox", "--days", "99999999"],
        ["demo", "--api-port", "65536"],
        ["demo", "--days", "99999999"],
    ],
)
def test_a_number_out_of_its_range_is_wrong_usage(arguments: list[str]) -> None:
    found = CliRunner().invoke(app, arguments)
    assert (found.exit_code, "Invalid value" in found.output) == (2, True)


def test_to_defaults_to_today() -> None:
    assert parse_window("2026-11-20", None, None) == Window(date(2026, 11, 20), date(2026, 11, 22))


@pytest.mark.parametrize(
    ("first", "last", "days", "message"),
    [
        (None, None, None, "no days"),
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
    first: str | None, last: str | None, days: int | None, message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        parse_window(first, last, days)


@pytest.mark.parametrize(("text", "seconds"), [("90s", 90), ("30m", 1800), ("1h", 3600), ("7d", 7 * 86400)])
def test_a_time_to_live(text: str, seconds: int) -> None:
    assert parse_ttl(text) == timedelta(seconds=seconds)


@pytest.mark.parametrize("text", ["", "1", "h", "0h", "-1h", "1w", "1h30m", "999999999999h", "99999999d", "٣h"])
def test_not_a_time_to_live(text: str) -> None:
    with pytest.raises(UsageError, match="--ttl"):
        parse_ttl(text)


def test_a_token_needs_a_known_role_a_tenant_and_a_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match="--role takes"):
        mint("owner", None, "1h")
    with pytest.raises(UsageError, match="needs --tenant"):
        mint("tenant_admin", None, "1h")
    with pytest.raises(UsageError, match="unattributed is a reserved id"):
        mint("tenant_admin", "unattributed", "1h")
    monkeypatch.delenv("METERING_JWT_SECRET", raising=False)
    with pytest.raises(UsageError, match="METERING_JWT_SECRET is not set"):
        mint("root_admin", None, "1h")


class TestSignInLink:
    ADDRESS = "https://usage.example.com"

    @pytest.mark.parametrize("secrets", [{"METERING_SESSION_SECRET": "s"}, {"METERING_JWT_SECRET": "j" * 32}])
    @pytest.mark.parametrize(("role", "tenant"), [("tenant_admin", "acme"), ("root_admin", None)])
    def test_the_server_knows_who_it_is_for(
        self, monkeypatch: pytest.MonkeyPatch, secrets: dict[str, str], role: str, tenant: str | None
    ) -> None:
        from api.dashboard.sessions import Sessions, signing_key

        for name, value in secrets.items():
            monkeypatch.setenv(name, value)
        link = sign_in_link(role, tenant, "15m", f"{self.ADDRESS}/")
        start, code = link.split("/sign-in/link/")
        assert start == self.ADDRESS
        key = signing_key(secrets.get("METERING_SESSION_SECRET"), secrets.get("METERING_JWT_SECRET"))
        found = Sessions(key).use_link(code)
        assert found is not None
        assert (found.role, found.tenant_id) == (role, tenant)

    @pytest.mark.parametrize(
        ("role", "tenant", "ttl", "url", "message"),
        [
            ("nobody", None, "1h", ADDRESS, "--role takes"),
            ("tenant_admin", None, "1h", ADDRESS, "needs --tenant"),
            ("tenant_admin", "unattributed", "1h", ADDRESS, "reserved"),
            ("root_admin", "acme", "1h", ADDRESS, "leave --tenant out"),
            ("root_admin", None, "soon", ADDRESS, "--ttl"),
            ("root_admin", None, "1h", "usage.example.com", "--url"),
        ],
    )
    def test_wrong_usage_is_said(
        self, monkeypatch: pytest.MonkeyPatch, role: str, tenant: str | None, ttl: str, url: str, message: str
    ) -> None:
        monkeypatch.setenv("METERING_SESSION_SECRET", "s")
        with pytest.raises(UsageError, match=message):
            sign_in_link(role, tenant, ttl, url)

    def test_a_secret_is_needed(self) -> None:
        with pytest.raises(UsageError, match="METERING_SESSION_SECRET is not set"):
            sign_in_link("root_admin", None, "1h", self.ADDRESS)


@pytest.mark.parametrize(
    ("options", "named"),
    [
        (["--tenants", str(FEWEST_TENANTS - 1)], "--tenants"),
        (["--days", "0"], "--days"),
        (["--scale", "0"], "--scale"),
        (["--scale", "nan"], "--scale"),
        (["--data", "/nowhere"], "no such folder of sandbox data"),
    ],
)
def test_a_sandbox_that_cannot_be_is_refused_before_it_begins(options: list[str], named: str) -> None:
    result = CliRunner().invoke(app, ["sandbox", *options])
    assert named in f"{result.output}{result.exception}"
    assert isinstance(result.exception, (SystemExit, UsageError))
