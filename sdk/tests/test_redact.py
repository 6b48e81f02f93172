"""Nothing personal is kept: hashed with a key, dropped without one."""

from __future__ import annotations

import logging

import pytest

from usage_metering.events import InvalidEvent
from usage_metering.redact import NUMBER_HASH, Redactor

PERSONAL = {
    "to": "+1 (555) 123-4567",
    "mail": "Jo@Example.com",
    "deep": [{"who": "whatsapp:+15551234567"}],
    "note": "call +15551234567 now",
}


def test_numbers_and_addresses_are_hashed_at_any_depth() -> None:
    found = Redactor("key").metadata(PERSONAL)
    assert NUMBER_HASH.fullmatch(found["to"])
    assert found["deep"][0]["who"] == found["to"]
    assert found["note"] == f"call {found['to']} now"
    assert "Example" not in str(found)
    assert Redactor("other").metadata(PERSONAL)["to"] != found["to"]


def test_contents_are_dropped_and_the_rest_stays() -> None:
    kept = {"flow": "welcome", "step": 3, "rate": 0.5, "ok": True, "none": None, "output": 12}
    dropped = {"body": "hi", "prompt": "be nice", "messages": [{"content": "x"}], "subject": "s"}
    assert Redactor("key").metadata({**kept, **dropped}) == kept


def test_without_a_key_they_become_null_with_one_warning(caplog: pytest.LogCaptureFixture) -> None:
    redactor = Redactor("")
    with caplog.at_level(logging.WARNING):
        found = redactor.metadata({**PERSONAL, "flow": "welcome"})
        assert redactor.number("+15551234567") is None
    assert found == {"to": None, "mail": None, "deep": [{"who": None}], "note": None, "flow": "welcome"}
    assert [record.levelname for record in caplog.records] == ["WARNING"]


def test_ids_stay_unless_they_are_personal() -> None:
    redactor = Redactor("key")
    assert redactor.identifier("12345678901") == "12345678901"
    assert redactor.identifier("SM0123") == "SM0123"
    hashed = redactor.identifier("+15551234567")
    assert hashed == redactor.number("+15551234567")
    assert redactor.fields({"lead_id": "a@b.c", "units": 1})["lead_id"].count(":") == 1


def test_a_personal_key_without_a_secret_is_no_key() -> None:
    with pytest.raises(InvalidEvent, match="idempotency_key"):
        Redactor("").fields({"idempotency_key": "+15551234567"})


def test_the_memory_of_hashes_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("usage_metering.redact.HASHES_KEPT", 10)
    redactor = Redactor("key")
    for number in range(100):
        redactor.number(f"+1555123{number:04d}")
    assert len(redactor._hasher._hashes) <= 10
