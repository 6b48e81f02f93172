"""What the doctor says of variables whose values no process takes."""

from __future__ import annotations

import pytest

from cli.unusable import unusable_settings

UNUSABLE = {
    "METERING_AS_OF": "yesterday",
    "METERING_START_DATE": "2026",
    "METERING_LOOKBACK_DAYS": "-1",
    "METERING_GUARD_FAIL_MODE": "maybe",
    "METERING_GUARD_TIMEOUT_MS": "0",
    "METERING_CONTACT_URL": "help",
    "METERING_CORS_ORIGINS": "*",
    "METERING_LOG_FORMAT": "xml",
    "METERING_JWKS_URL": "ftp://keys.example",
    "METERING_COLLECTOR_MAX_BYTES": "1",
    "METERING_COLLECTOR_REQUESTS_PER_SECOND": "0",
    "METERING_COLLECTOR_CONNECTIONS": "none",
    "METERING_COLLECTOR_PUBLIC_URL": "collect.example.com/path",
    "METERING_COLLECTOR_TYPES": "nowhere.json",
    "SENDGRID_WEBHOOK_PUBLIC_KEY": "a key",
    "METERING_ALERT_WEBHOOK_URL": "ftp://alerts.example.com",
    "METERING_ALERT_WEBHOOK_SECRET": "whsec_c2hvcnQ=",
    "METERING_ALERT_SLACK_URL": "https://user:password@hooks.example.com/x",
    "METERING_ALERT_CHANNELS_WARNING": "pager",
    "METERING_ALERT_CHANNELS_CRITICAL": "sms,fax",
    "METERING_TENANT_WEBHOOK_KEY": "secret",
    "METERING_TENANT_WEBHOOK_PRIVATE": "perhaps",
}


@pytest.mark.parametrize(("variable", "value"), UNUSABLE.items())
def test_an_unusable_value_is_named_once(monkeypatch: pytest.MonkeyPatch, variable: str, value: str) -> None:
    monkeypatch.setenv(variable, value)
    unusable = unusable_settings()
    assert list(unusable) == [variable]
    assert variable in unusable[variable]


def test_all_of_several_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("METERING_GUARD_FAIL_MODE", "maybe")
    monkeypatch.setenv("METERING_GUARD_TIMEOUT_MS", "soon")
    assert list(unusable_settings()) == ["METERING_GUARD_FAIL_MODE", "METERING_GUARD_TIMEOUT_MS"]


def test_an_environment_without_them_is_usable() -> None:
    assert unusable_settings() == {}
