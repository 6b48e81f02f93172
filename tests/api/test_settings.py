"""Settings from the environment, and the application that uvicorn asks for."""

from __future__ import annotations

import importlib
import subprocess
import sys
from datetime import UTC, datetime

import pytest

from api.settings import SettingsError, with_options
from tests.api.conftest import make_settings

URL = "postgresql://owner:pw@db:5432/metering"


def test_the_api_s_url_is_derived_from_the_owner_s() -> None:
    assert make_settings(URL).database_url() == f"{URL}?options=-crole%3Dmetering_api"


def test_options_that_are_there_stay() -> None:
    url = with_options(f"{URL}?sslmode=require&options=-csearch_path%3Dx", role="metering_api")
    assert url == f"{URL}?sslmode=require&options=-csearch_path%3Dx%20-crole%3Dmetering_api"


def test_the_api_s_own_url_wins_and_is_left_alone() -> None:
    settings = make_settings(URL, METERING_API_DATABASE_URL="postgresql://metering_api:x@db/metering")
    assert settings.database_url() == "postgresql://metering_api:x@db/metering"


@pytest.mark.parametrize("url", ["mysql://secret@db/x", "postgresql://secret@db", "postgresql://secret@db:port/x", "x"])
def test_a_bad_url_names_the_variable_not_the_value(url: str) -> None:
    with pytest.raises(SettingsError, match="METERING_DATABASE_URL") as caught:
        make_settings(url).database_url()
    assert "secret" not in str(caught.value)


def test_secrets_are_not_shown() -> None:
    assert "pw" not in repr(make_settings(URL))


@pytest.mark.parametrize(
    ("text", "instant"),
    [
        ("2026-11-20", datetime(2026, 11, 20, tzinfo=UTC)),
        ("2026-11-20T12:00:00", datetime(2026, 11, 20, 12, tzinfo=UTC)),
        ("2026-11-20T12:00:00Z", datetime(2026, 11, 20, 12, tzinfo=UTC)),
        ("2026-11-20T23:30:00-05:00", datetime(2026, 11, 21, 4, 30, tzinfo=UTC)),
    ],
)
def test_as_of_pins_the_clock(text: str, instant: datetime) -> None:
    now = make_settings(URL, METERING_AS_OF=text).clock()()
    assert (now, now.tzinfo) == (instant, UTC)


def test_without_as_of_it_is_now() -> None:
    before = datetime.now(UTC)
    assert before <= make_settings(URL, METERING_AS_OF="").clock()() <= datetime.now(UTC)


def test_a_bad_as_of_names_the_variable() -> None:
    for text in ("soon", "0001-01-01T00:00:00+05:00", "1969-12-31", "9999-01-01"):
        with pytest.raises(SettingsError, match="METERING_AS_OF"):
            make_settings(URL, METERING_AS_OF=text).clock()


@pytest.mark.parametrize("days", ["-1", "x", "1.5"])
def test_a_bad_lookback_names_the_variable(days: str) -> None:
    with pytest.raises(SettingsError, match="METERING_LOOKBACK_DAYS"):
        make_settings(URL, METERING_LOOKBACK_DAYS=days).lookback()


def test_importing_the_module_needs_no_environment() -> None:
    module = importlib.import_module("api.main")
    with pytest.raises(AttributeError):
        _ = module.no_such_name


def test_uvicorn_without_settings_ends_with_one_line() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "uvicorn", "api.main:app", "--port", "0"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr.strip().startswith("api: METERING_DATABASE_URL (or METERING_API_DATABASE_URL) is not set")
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("link", ["https://example.com/help?a=1", "http://localhost:1", "mailto:help@example.com"])
def test_contact_links_are_web_or_mail_addresses(link: str) -> None:
    assert make_settings(URL, METERING_CONTACT_URL=link).contact_link() == link


@pytest.mark.parametrize("link", ["javascript:alert(1)", "example.com", "//example.com", "data:text/html,x"])
def test_other_links_are_refused(link: str) -> None:
    with pytest.raises(SettingsError, match="METERING_CONTACT_URL must begin with"):
        make_settings(URL, METERING_CONTACT_URL=link).contact_link()
    with pytest.raises(SettingsError, match="METERING_DAGSTER_URL must begin with"):
        make_settings(URL, METERING_DAGSTER_URL=link).dagster_link()


def test_links_into_dagster_are_joined_without_a_second_slash() -> None:
    assert make_settings(URL, METERING_DAGSTER_URL="http://dagster:3000/").dagster_link() == "http://dagster:3000"
    assert make_settings(URL).dagster_link() is None
