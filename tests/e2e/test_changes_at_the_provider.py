"""A message that changes at the provider: in exactly the days it belongs to. All else of it is in test_changes_of_each_service.py."""

from __future__ import annotations

from datetime import datetime

import pytest

from tests.e2e.system import System

# Whole builds, on a slow machine beside others: what hangs is still ended.
pytestmark = pytest.mark.timeout(600)

FIRST, LAST = "2026-11-01", "2026-11-09"
DAY = "2026-11-04"


def a_message(system: System, day: str = DAY) -> dict[str, object]:
    """Return a counted outbound SMS of a tenant on ``day``."""
    wanted = datetime.fromisoformat(day).strftime("%d %b %Y")
    return next(
        dict(message)
        for message in system.sandbox.dataset.twilio_messages
        if wanted in str(message["date_sent"])
        and message["status"] == "delivered"
        and message["direction"] == "outbound-api"
        and message["num_media"] == "0"
    )


def test_a_filled_price_becomes_billed_on_its_day(built_system: System) -> None:
    system = built_system
    day = "2026-11-09"
    wanted = datetime.fromisoformat(day).strftime("%d %b %Y")
    of_the_day = [dict(m) for m in system.sandbox.dataset.twilio_messages if wanted in str(m["date_sent"])]
    unknown = (
        "select count(*) from marts.usage_summary where date = %s and channel = 'sms' and billed_cost_cents is null"
    )
    system.sandbox.put("twilio_messages", *(m | {"price": None, "_sandbox": {}} for m in of_the_day))
    system.refresh(FIRST, LAST, providers=["twilio"])
    before = system.marts()
    assert system.query(unknown, day)[0][0] >= 3
    system.sandbox.put(
        "twilio_messages", *(m | {"price": "-0.01234", "price_unit": "usd", "_sandbox": {}} for m in of_the_day)
    )
    system.refresh(FIRST, LAST, providers=["twilio"])
    assert system.query(unknown, day) == [(0,)]
    assert system.changed_days(before) == {day}


def test_a_record_that_moves_to_another_day_leaves_the_first(built_system: System) -> None:
    built = built_system
    before = built.marts()
    message = a_message(built)
    built.sandbox.put("twilio_messages", message | {"date_sent": "Fri, 06 Nov 2026 10:00:00 +0000"})
    built.refresh("2026-11-06", "2026-11-06", providers=["twilio"])
    # The window was one day; the day it left is no longer recorded as built, so the nightly run takes it.
    left = built.query(
        "select built_at is null from ops.source_days where provider = 'twilio' and usage_date = %s", DAY
    )
    assert left == [(True,)]
    built.refresh(DAY, DAY, only="build")
    assert built.changed_days(before) == {DAY, "2026-11-06"}
