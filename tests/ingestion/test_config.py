"""Settings come from the environment; what is missing is named, and no secret is shown."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import SecretStr
from pydantic_settings import BaseSettings

import api.settings
from collector.settings import Settings as CollectorSettings
from ingestion.config import IngestSettings
from ingestion.windows import MAX_LOOKBACK_DAYS
from usage_metering.failures import ConfigError

NEEDED = {"METERING_TENANT_DIRECTORY": "folder", "METERING_PII_KEY": "pepper"}


def test_defaults_are_the_providers_own_addresses(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {**NEEDED, "TWILIO_BASE_URL": ""}.items():
        monkeypatch.setenv(name, value)
    settings = IngestSettings.from_environment()
    assert settings.base_url("twilio") == "https://api.twilio.com"
    assert settings.base_url("openai") == "https://api.openai.com/v1"
    assert settings.base_url("sendgrid") == "https://api.sendgrid.com"
    assert (settings.lookback_days, settings.sendgrid_parent_stats) == (3, "total")


def test_a_base_url_may_end_in_a_slash() -> None:
    settings = IngestSettings.model_validate({**NEEDED, "OPENAI_BASE_URL": "http://localhost:1/v1/"})
    assert settings.base_url("openai") == "http://localhost:1/v1"


@pytest.mark.parametrize("missing", list(NEEDED))
def test_a_missing_variable_is_named(monkeypatch: pytest.MonkeyPatch, missing: str) -> None:
    for name, value in NEEDED.items():
        monkeypatch.setenv(name, "" if name == missing else value)
    with pytest.raises(ConfigError, match=f"^{missing} not set: ") as failure:
        IngestSettings.from_environment()
    assert "\n" not in str(failure.value)


@pytest.mark.parametrize(
    ("variable", "value", "wanted"),
    [
        ("METERING_SENDGRID_PARENT_STATS", "both", "total or own"),
        ("METERING_LOOKBACK_DAYS", "abc", "a whole number of days from 0 to 366"),
        ("METERING_LOOKBACK_DAYS", "367", "a whole number of days from 0 to 366"),
        ("METERING_REQUEST_ATTEMPTS", "0", "a whole number, at least 1"),
        ("METERING_REQUEST_BACKOFF_SECONDS", "soon", "a number of seconds, at least 0"),
        ("METERING_REQUEST_MAX_SECONDS", "0", "a number of seconds above 0"),
        ("METERING_LIST_MAX_BYTES", "8.5", "a whole number, at least 1"),
    ],
)
def test_the_error_says_what_a_variable_must_be(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str, wanted: str
) -> None:
    for name, given in {**NEEDED, variable: value}.items():
        monkeypatch.setenv(name, given)
    with pytest.raises(ConfigError) as failure:
        IngestSettings.from_environment()
    assert str(failure.value) == f"{variable} must be {wanted}"


@pytest.mark.parametrize("settings", [IngestSettings, CollectorSettings])
def test_every_setting_that_a_text_may_not_fit_says_what_it_must_be(settings: type[BaseSettings]) -> None:
    free = (str, SecretStr, str | None, SecretStr | None, Path | None)
    assert not [
        name
        for name, field in settings.model_fields.items()
        if (field.annotation not in free or field.metadata) and not field.description
    ]


def test_the_api_accepts_as_many_days_as_ingestion() -> None:
    assert api.settings.MAX_LOOKBACK_DAYS == MAX_LOOKBACK_DAYS


@pytest.mark.parametrize(
    ("provider", "variables", "wanted"),
    [
        ("twilio", {"TWILIO_ACCOUNT_SID": "AC1", "TWILIO_AUTH_TOKEN": "t"}, True),
        ("twilio", {"TWILIO_ACCOUNT_SID": "AC1"}, False),
        ("twilio", {"TWILIO_ACCOUNT_SID": "", "TWILIO_AUTH_TOKEN": "t"}, False),
        ("openai", {"OPENAI_ADMIN_KEY": "k"}, True),
        ("openai", {}, False),
        ("sendgrid", {"SENDGRID_API_KEY": "k"}, True),
        ("sendgrid", {"OPENAI_ADMIN_KEY": "k"}, False),
    ],
)
def test_a_provider_is_credentialed_when_all_its_variables_are_set(
    provider: str, variables: dict[str, str], wanted: bool
) -> None:
    assert IngestSettings.model_validate({**NEEDED, **variables}).credentialed(provider) is wanted


def test_secrets_do_not_show() -> None:
    secrets = {"TWILIO_AUTH_TOKEN": "tok3n", "OPENAI_ADMIN_KEY": "sk-admin", "SENDGRID_API_KEY": "SG.x"}
    shown = repr(IngestSettings.model_validate({**NEEDED, **secrets}))
    assert not [secret for secret in (*secrets.values(), "pepper") if secret in shown]
