"""What the SDK's own tests share: none of the caller's settings, and a key to hash with."""

from __future__ import annotations

import os

import pytest


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in os.environ:
        if name.startswith(("METERING_", "OPENAI_", "SENDGRID_", "TWILIO_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("METERING_PII_KEY", "a key for tests")
    monkeypatch.setenv("METERING_GUARD_TIMEOUT_MS", "20000")
