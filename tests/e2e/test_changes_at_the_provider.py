"""What changes at a provider shows up in exactly the days it belongs to; what is not answered changes nothing."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from cli.errors import CommandFailed
from tests.e2e.system import System

# Whole builds, on a slow machine beside others: what hangs is still ended.
pytestmark = pytest.mark.timeout(600)

FIRST, LAST = "2026-11-01", "2026-11-09"
DAY, EMPTIED, LATE = "2026-11-04", "2026-11-06", "2026-11-08"


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


@pytest.fixture
def built(built_system: System) -> System:
    """A system with more than the window built."""
    return built_system


def test_what_vanishes_is_emptied_or_comes_late_changes_its_own_day(built: System) -> None:
    before = built.marts()
    assert built.sandbox.delete("twilio_messages", sid=str(a_message(built)["sid"])) == 1
    wanted = datetime.fromisoformat(EMPTIED).strftime("%d %b %Y")
    for message in [m for m in built.sandbox.dataset.twilio_messages if wanted in str(m["date_sent"])]:
        built.sandbox.delete("twilio_messages", sid=str(message["sid"]))
    built.sandbox.put("twilio_messages", a_message(built, LATE) | {"sid": "SM" + "f" * 32})
    built.refresh(FIRST, LAST, providers=["twilio"])
    assert built.changed_days(before) == {DAY, EMPTIED, LATE}
    assert built.query(
        "select count(*) from marts.usage_summary where date = %s and channel in ('sms', 'mms')", EMPTIED
    ) == [(0,)]
    of_mail = "select count(*) from marts.usage_summary where date = %s and channel = 'email'"
    assert built.query(of_mail, EMPTIED)[0][0] > 0


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


def test_a_record_that_moves_to_another_day_leaves_the_first(built: System) -> None:
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


def test_an_unanswered_day_keeps_its_rows_and_is_not_done(built: System) -> None:
    """An error on one day's list, on a whole window, on one table; each of another provider."""
    before = built.marts()
    faults = {
        "twilio": "Messages.json?DateSent>=2026-11-04",
        "openai": "/usage/completions",
        "sendgrid": "/v3/stats",
    }
    for path in faults.values():
        built.sandbox.faults.add(path, status=500, count=None)
    with pytest.raises(CommandFailed) as failure:
        built.refresh(FIRST, LAST, providers=faults)
    assert [line.split(": ")[0] for line in str(failure.value).splitlines()] == sorted(faults)
    built.sandbox.faults.clear()
    assert built.changed_days(before) == set()
    undone = built.query("select distinct provider from ops.source_days where built_at is null order by 1")
    assert undone == [(provider,) for provider in sorted(faults)]
    built.refresh(FIRST, LAST, providers=faults)
    assert built.marts() == before
    assert built.query("select count(*) from ops.source_days where built_at is null") == [(0,)]


def test_a_list_without_access_keeps_its_rows_and_is_named(built: System) -> None:
    before = built.marts()
    built.sandbox.faults.add("/Calls.json", status=401, count=None)
    with pytest.raises(CommandFailed, match=r"^twilio: ") as failure:
        built.rebuild(FIRST, LAST)
    assert len(str(failure.value).splitlines()) == 1
    assert built.changed_days(before) == set()
    assert built.query("select distinct provider from ops.source_days where built_at is null") == [("twilio",)]


def test_a_bucket_that_is_missing_from_an_answer_keeps_its_rows(built: System) -> None:
    before = built.marts()
    built.sandbox.set_missing({"openai_costs": [DAY], "sendgrid_subuser_stats": ["2026-11-05"]})
    with pytest.raises(CommandFailed) as failure:
        built.refresh(FIRST, LAST, providers=["openai", "sendgrid"])
    built.sandbox.set_missing({})
    assert {line.split(":")[0] for line in str(failure.value).splitlines()} == {"openai", "sendgrid"}
    assert built.changed_days(before) == set()


def test_throttling_is_waited_out(built: System) -> None:
    before = built.marts()
    built.sandbox.faults.add("/Messages.json", status=429, headers={"Retry-After": "1"}, count=1)
    built.sandbox.faults.add("/usage/embeddings", status=429, count=1)
    built.sandbox.faults.add(
        "/v3/subusers",
        status=429,
        headers={"X-RateLimit-Reset": str(int(datetime.now(UTC).timestamp()) + 1)},
        count=1,
    )
    built.refresh(FIRST, LAST, providers=["twilio", "openai", "sendgrid"])
    assert built.marts() == before


def test_a_provider_without_credentials_is_skipped_and_the_rest_is_built(
    system: System, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OPENAI_ADMIN_KEY")
    system.rebuild(FIRST, LAST)
    channels = {row[0] for row in system.query("select distinct channel from marts.usage_summary")}
    assert "sms" in channels
    assert "ai" not in channels
