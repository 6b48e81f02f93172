"""Figures as people read them."""

from __future__ import annotations

from datetime import date, datetime, timedelta, timezone

import pytest

from api.dashboard import formats
from costs.rules.services import SERVICES, UNITS
from usage_metering.taxonomy import SOURCES


@pytest.mark.parametrize(
    ("function", "value", "text"),
    [
        (formats.cents, 123456, "$1,234.56"),
        (formats.cents, 0, "$0.00"),
        (formats.cents, -5, "-$0.05"),
        (formats.cents, None, "—"),
        (formats.estimate, 6800.93, "6,801"),
        (formats.estimate, 9.256, "9.26"),
        (formats.estimate, None, "—"),
        (formats.usd, "5.135", "$5.135"),
        (formats.usd, "1234", "$1,234.00"),
        (formats.usd, "-0.5", "-$0.50"),
        (formats.usd, None, "—"),
        (formats.rounded_usd, "0.125", "$0.12"),
        (formats.rounded_usd, "0.135", "$0.14"),
        (formats.rounded_usd, "99.5", "$99.50"),
        (formats.number, 1234567, "1,234,567"),
        (formats.number, 12.5, "12.5"),
        (formats.number, None, "—"),
        (formats.percent, 65.0, "65.0%"),
        (formats.percent, 1120.45, "1,120.4%"),
        (formats.percent, None, "—"),
        (formats.change, 12.5, "+12.5%"),
        (formats.change, -33.1, "−33.1%"),
        (formats.change, 0.0, "+0.0%"),
        (formats.day, "2026-11-20", "Nov 20, 2026"),
        (formats.short_day, date(2026, 11, 3), "Nov 3"),
        (formats.month, "2026-11", "November 2026"),
        (formats.month, date(2026, 1, 31), "January 2026"),
        (formats.instant, datetime(2026, 11, 20, 1, 5, tzinfo=timezone(timedelta(hours=2))), "Nov 19, 2026, 23:05 UTC"),
        (formats.instant, None, "—"),
        (formats.channel_name, "storage_ops", "Storage operations"),
        (formats.channel_name, "new_thing", "New thing"),
        (formats.listed, ["SMS"], "SMS"),
        (formats.listed, ["SMS", "AI"], "SMS and AI"),
        (formats.listed, ["SMS", "Email", "AI"], "SMS, Email and AI"),
    ],
)
def test_each(function: object, value: object, text: str) -> None:
    assert callable(function)
    assert function(value) == text


def test_a_period() -> None:
    assert formats.period(date(2026, 11, 1), date(2026, 11, 30)) == "November 1–30, 2026"
    assert formats.period(date(2026, 12, 1), date(2027, 1, 31)) == "December 1, 2026 – January 31, 2027"


@pytest.mark.parametrize(
    ("unit", "channel", "count", "word"),
    [
        ("segments", "sms", 1000, "SMS"),
        ("messages", "mms", 1, "MMS"),
        ("minutes", "voice", 1, "voice minute"),
        ("tokens", "ai", 2, "AI tokens"),
        ("emails", "email", 1, "email"),
        ("number_days", "phone", 2, "number-days"),
        ("gb_days", "storage", 1, "GB-day"),
        # What OpenAI counts otherwise keeps its own word.
        ("images", "ai", 2, "images"),
        ("widgets", "new", 2, "widgets"),
    ],
)
def test_what_units_are_called(unit: str, channel: str, count: int, word: str) -> None:
    assert formats.unit_name(unit, channel, count) == word


def test_every_unit_and_service_has_a_name_for_people() -> None:
    assert [unit for unit in UNITS.values() if "_" in formats.unit_label(unit)] == []
    assert formats.unit_label("gb_days") == "GB-days"
    assert [formats.unit_label(unit, 1) for unit in ("segments", "number_days", "widgets")] == [
        "segment",
        "number-day",
        "widgets",
    ]
    assert set(SERVICES) <= set(formats.SERVICE_NAMES)
    assert formats.service_name("cloudflare_r2_storage") == "Cloudflare R2 storage"
    assert formats.service_name("twilio_sms_total") == "Twilio’s total of SMS"
    assert formats.service_name("faxes") == "Faxes"
    assert {formats.source_name(source) for source in SOURCES.values()} >= {"Cloudflare R2", "Google Places"}
