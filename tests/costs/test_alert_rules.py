"""Each kind of alert: the condition, the severity, the contract's sentence."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from decimal import Decimal

import pytest

from costs.alerts.rules import (
    LimitReached,
    MonthSoFar,
    Thresholds,
    Unpriced,
    UnusualDay,
    of_limit,
    of_month,
    of_unpriced,
    of_unusual_day,
)
from costs.rules.anomaly import Cause, Expectation

QUIET = MonthSoFar("acme", "Acme", Decimal(10), Decimal(0), Decimal(20), Decimal(10))
LIMIT = LimitReached("acme", "Acme", "sms", "units", "segments", Decimal(425), Decimal(500), Decimal(85), "warning")


def alerts_of(month: MonthSoFar) -> list[tuple[str, str, str]]:
    return [(found.alert_type, found.severity, found.message) for found in of_month(month)]


@pytest.mark.parametrize(
    ("cents", "severities"),
    [("5000", []), ("5000.000001", ["warning"]), ("10000", ["warning"]), ("10000.01", ["critical"])],
)
def test_thresholds(cents: str, severities: list[str]) -> None:
    sentence = {"warning": "Monthly usage has exceeded $50.00", "critical": "Monthly usage has exceeded $100.00"}
    expected = [("threshold", severity, sentence[severity]) for severity in severities]
    assert alerts_of(replace(QUIET, cost_cents=Decimal(cents))) == expected


def test_a_plan_has_thresholds_of_its_own() -> None:
    agency = Thresholds(Decimal(50050), Decimal(123456), Decimal(200))
    month = replace(QUIET, cost_cents=Decimal(60000), change_percent=Decimal(199), projected_cents=Decimal(185183))
    assert alerts_of(replace(month, thresholds=agency)) == [
        ("threshold", "warning", "Monthly usage has exceeded $500.50")
    ]


@pytest.mark.parametrize(
    ("percent", "severity", "shown"),
    [("49.99", None, ""), ("50", "warning", "50"), ("99.99", "warning", "100"), ("120.4", "critical", "120")],
)
def test_spikes(percent: str, severity: str | None, shown: str) -> None:
    expected = [("spike", severity, f"Usage is {shown}% higher than last month")] if severity else []
    assert alerts_of(replace(QUIET, change_percent=Decimal(percent))) == expected


@pytest.mark.parametrize(("cents", "holds"), [("14999.99", False), ("15000", True)])
def test_a_projection_far_beyond_the_critical_threshold(cents: str, holds: bool) -> None:
    expected = [("anomaly", "warning", "Projected monthly cost: $150.00")] if holds else []
    assert alerts_of(replace(QUIET, projected_cents=Decimal(cents))) == expected


def test_what_is_not_known_is_no_reason_for_an_alert() -> None:
    assert of_month(MonthSoFar("acme", "Acme", None, None, None, None)) == []


def test_the_figures_behind_the_sentences() -> None:
    month = MonthSoFar("acme", "Acme", Decimal("12000.5"), Decimal("120.04"), Decimal("30000.4"), Decimal(5000))
    details = {(found.alert_type, found.severity): found.details for found in of_month(month)}
    assert details == {
        ("threshold", "critical"): {"currentCost": 12000, "threshold": 10000},
        ("spike", "critical"): {"percentChange": 120.0, "threshold": 50.0, "currentCost": 12000, "previousCost": 5000},
        ("anomaly", "warning"): {"projectedCost": 30000, "threshold": 15000, "currentCost": 12000},
    }


@pytest.mark.parametrize(
    ("limit", "severity", "message"),
    [
        (LIMIT, "warning", "Usage of sms has reached 85% of its monthly cap: 425 of 500 segments"),
        (
            replace(LIMIT, used=Decimal("1234.5"), status="over_cap"),
            "critical",
            "Usage of sms is over its monthly cap: 1,234.50 of 500 segments",
        ),
        (
            replace(LIMIT, metric="requests"),
            "warning",
            "Usage of sms has reached 85% of its monthly cap: 425 of 500 requests",
        ),
        (
            replace(LIMIT, metric="cost_cents"),
            "warning",
            "Usage of sms has reached 85% of its monthly cap: $4.25 of $5.00",
        ),
    ],
)
def test_caps(limit: LimitReached, severity: str, message: str) -> None:
    found = of_limit(limit)
    assert (found.alert_type, found.severity, found.channel, found.message) == ("cap", severity, "sms", message)


def test_unpriced_usage_is_one_alert_per_channel_that_names_what_has_no_price() -> None:
    hole = Unpriced("acme", "Acme", "ai", "tokens", "openai", "chat_completion", "m1", Decimal(1000), date(2026, 11, 3))
    holes = [
        hole,
        *(replace(hole, model=f"m{n}", quantity=Decimal(n)) for n in (2, 3, 4, 5)),
        replace(hole, channel="sms"),
    ]
    ai, sms = of_unpriced([*holes[1:], replace(holes[0], first_day=date(2026, 11, 2))])
    assert ai.message == (
        "1,014 tokens have no known price (openai chat_completion m1, openai chat_completion m5, openai chat_completion m4"
        " and 2 more), the first on 2026-11-02"
    )
    assert (ai.alert_type, ai.severity, ai.channel, sms.channel) == ("unpriced", "warning", "ai", "sms")


def test_unpriced_usage_is_told_in_words_by_kind() -> None:
    image = Unpriced("acme", "Acme", "ai", "images", "openai", "image", "gpt-image-1", Decimal(2453), date(2026, 11, 3))
    seconds = replace(image, unit="seconds", operation="audio_transcription", model="new", quantity=Decimal(1200))
    calls = replace(image, unit="calls", operation="web_search_call", model="", quantity=Decimal(3))
    (found,) = of_unpriced([calls, image, seconds])
    assert found.message == (
        "2,453 images, 1,200 seconds and 3 calls have no known price (openai image gpt-image-1,"
        " openai audio_transcription new, openai web_search_call), the first on 2026-11-03"
    )
    (one,) = of_unpriced([replace(calls, quantity=Decimal(1))])
    assert one.message.startswith("1 call has no known price (openai web_search_call)")


def test_unpriced_usage_of_several_units_is_not_added_up() -> None:
    tokens = Unpriced("acme", "Acme", "ai", "tokens", "openai", "embedding", "m", Decimal(10), date(2026, 11, 3))
    holes = [
        tokens,
        replace(tokens, unit="bytes", operation="vector_store", model="", quantity=Decimal(7000)),
        replace(tokens, model="n", quantity=Decimal(5)),
    ]
    (found,) = of_unpriced(holes)
    assert found.message.startswith(
        "7,000 bytes and 15 tokens have no known price (openai vector_store, openai embedding m"
    )
    assert (found.details["unpricedUnits"], found.details["unit"]) == ("7000", "bytes")
    assert found.details["quantities"] == [
        {"unit": "bytes", "quantity": "7000"},
        {"unit": "tokens", "quantity": "15"},
    ]


def test_an_unusual_day_says_what_is_usual_and_what_made_it() -> None:
    cause = Cause("feature", "broadcast", Decimal(900), Decimal("0.87"))
    expectation = Expectation(Decimal(300), Decimal(450))
    unusual = UnusualDay("acme", "Acme", "sms", date(2026, 11, 19), Decimal(1240), expectation, cause)
    found = of_unusual_day(unusual)
    assert (found.alert_type, found.severity, found.channel) == ("anomaly", "warning", "sms")
    assert found.message == (
        "Cost of sms on 2026-11-19 is $12.40 where $3.00 is usual, 87% of the excess from feature broadcast"
    )
    assert found.details["cause"] == {
        "dimension": "feature",
        "value": "broadcast",
        "excessCost": 900,
        "sharePercent": 87.0,
    }
    never = replace(unusual, expectation=Expectation(Decimal(0), Decimal(100)), cause=None)
    assert of_unusual_day(never).message == "Cost of sms on 2026-11-19 is $12.40 where there is usually no cost"
