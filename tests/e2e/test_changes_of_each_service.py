"""What changes of each service shows up in exactly its day: what vanishes, comes late or is not answered, all in one rebuild.

Each service has a day of its own, so that what changes says whose change it was.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import pytest

from cli.errors import CommandFailed
from sandbox.lists import COUNTED_LISTS, R2_LISTS
from tests.e2e.system import System
from tests.e2e.test_changes_at_the_provider import a_message

# Whole builds, on a slow machine beside others: what hangs is still ended.
pytestmark = pytest.mark.timeout(600)

FIRST, LAST = "2026-11-01", "2026-11-09"
AS_OF_DAY = "2026-11-10"


@dataclass(frozen=True)
class Days:
    """On which day the records of each service change; none meets another's."""

    messages: str
    recordings: str
    payments: str
    buckets: str
    openai: str
    mail: str

    @property
    def cells(self) -> set[tuple[str, str]]:
        return {
            ("sms", self.messages),
            ("recording", self.recordings),
            ("payments", self.payments),
            ("storage", self.buckets),
            ("storage_ops", self.buckets),
            ("ai", self.openai),
            ("email", self.mail),
        }


VANISHED = Days("2026-11-07", "2026-11-02", "2026-11-04", "2026-11-05", "2026-11-01", "2026-11-06")
EMPTIED = Days("2026-11-03", "2026-11-09", "2026-11-06", "2026-11-06", "2026-11-08", "2026-11-04")
LATE = Days("2026-11-04", "2026-11-05", "2026-11-07", "2026-11-08", "2026-11-05", "2026-11-03")
NUMBER = {"phone_number": "+18085550199", "sid": "PN" + "e" * 32, "date_created": "Thu, 05 Nov 2026 09:00:00 +0000"}
NUMBERS_OF_A_DAY = "select date::text, sum(unit_count)::int from marts.usage_summary where channel = 'phone' and date >= '2026-11-04' group by 1 order by 1"


@pytest.fixture
def built(built_system: System) -> System:
    """A system with more than the window built."""
    return built_system


def of_day(system: System, name: str, day: str) -> list[dict[str, Any]]:
    """Return copies of a list's records of one UTC day."""
    return [dict(record) for record in getattr(system.sandbox.dataset, name) if _day(record) == day]


def _day(record: dict[str, Any]) -> str:
    if "created" in record:
        return datetime.fromtimestamp(record["created"], UTC).date().isoformat()
    if record.get("date_sent"):
        return parsedate_to_datetime(record["date_sent"]).astimezone(UTC).date().isoformat()
    if "date_created" in record:
        return parsedate_to_datetime(record["date_created"]).astimezone(UTC).date().isoformat()
    return str(record.get("date") or record["datetime"])[:10]


def remove(system: System, name: str, records: Iterable[dict[str, Any]], *identity: str) -> None:
    for record in records:
        assert system.sandbox.delete(name, **{field: str(record[field]) for field in identity}) > 0


def a_charge(system: System, day: str) -> dict[str, Any]:
    """Return a charge of ``day`` that no other transaction is about: whose such a one is, would change with it."""
    transactions = system.sandbox.dataset.stripe_balance_transactions
    about = [(transaction["source"] or {}).get("charge") for transaction in transactions]
    charges = [record for record in of_day(system, "stripe_balance_transactions", day) if record["type"] == "charge"]
    return next(charge for charge in charges if charge["source"]["id"] not in about)


def vanish(system: System, days: Days) -> None:
    """Take one record of each service away; of a category, its figures."""
    remove(system, "twilio_messages", [a_message(system, days.messages)], "sid")
    remove(system, "twilio_recordings", of_day(system, "twilio_recordings", days.recordings)[:1], "sid")
    remove(system, "stripe_balance_transactions", [a_charge(system, days.payments)], "id")
    for name in R2_LISTS:
        bucket = of_day(system, name, days.buckets)[0]["bucketName"]
        remove_measurements(system, name, days.buckets, bucket)
    remove(system, "openai_usage_images", of_day(system, "openai_usage_images", days.openai)[:1], "date", "project_id")
    (category,) = of_day(system, "sendgrid_category_stats", days.mail)
    system.sandbox.put("sendgrid_category_stats", category | {"metrics": dict.fromkeys(category["metrics"], 0)})


def empty(system: System, days: Days) -> None:
    """Take all records of a day away."""
    for name, day, key in (
        ("twilio_messages", days.messages, "sid"),
        ("twilio_recordings", days.recordings, "sid"),
        ("stripe_balance_transactions", days.payments, "id"),
    ):
        remove(system, name, of_day(system, name, day), key)
    for name in R2_LISTS:
        remove_measurements(system, name, days.buckets)
    for name in COUNTED_LISTS:
        if of_day(system, name, days.openai):
            assert system.sandbox.delete(name, date=days.openai) > 0
    assert system.sandbox.delete("sendgrid_category_stats", date=days.mail) > 0


def come_late(system: System, days: Days) -> dict[str, Any]:
    """Add a record of each service: a message, a recording, a refund, a bucket, a key's images, mail of a category.

    Return the charge that the refund is about.
    """
    system.sandbox.put("twilio_messages", a_message(system, days.messages) | {"sid": "SM" + "f" * 32})
    recording = of_day(system, "twilio_recordings", days.recordings)[0]
    system.sandbox.put("twilio_recordings", recording | {"sid": "RE" + "f" * 32})
    charge = a_charge(system, "2026-11-03")
    late = {
        "id": "txn_late",
        "type": "refund",
        "amount": -charge["amount"],
        "fee": 0,
        "fee_details": [],
        "created": int(datetime.fromisoformat(f"{days.payments}T12:00:00+00:00").timestamp()),
        "source": {"object": "refund", "id": "re_late", "charge": charge["source"]["id"], "metadata": {}},
    }
    system.sandbox.put("stripe_balance_transactions", charge | late)
    for name in R2_LISTS:
        system.sandbox.put(name, of_day(system, name, days.buckets)[0] | {"bucketName": "late-bucket"})
    images = of_day(system, "openai_usage_images", days.openai)[0]
    system.sandbox.put("openai_usage_images", images | {"api_key_id": "key_late"})
    (category,) = of_day(system, "sendgrid_category_stats", days.mail)
    fewer = category["metrics"] | {"requests": category["metrics"]["requests"] - 1}
    system.sandbox.put("sendgrid_category_stats", category | {"metrics": fewer})
    return charge


def remove_measurements(system: System, name: str, day: str, bucket: str | None = None) -> None:
    """Remove what R2 measured on a day, of one bucket or of all."""
    records = [record for record in of_day(system, name, day) if bucket in (None, record["bucketName"])]
    for moment in {record["datetime"] for record in records}:
        where = {"datetime": moment} | ({} if bucket is None else {"bucketName": bucket})
        assert system.sandbox.delete(name, **where) > 0


def test_what_vanishes_is_emptied_or_comes_late_changes_its_own_days(built: System) -> None:
    before = built.marts()
    vanish(built, VANISHED)
    empty(built, EMPTIED)
    refunded = come_late(built, LATE)

    built.refresh(FIRST, LAST)

    cells = VANISHED.cells | EMPTIED.cells | LATE.cells | {("mms", EMPTIED.messages)}
    assert built.changed_cells(before) == cells
    for channels, day in (
        (["sms", "mms"], EMPTIED.messages),
        (["recording"], EMPTIED.recordings),
        (["payments"], EMPTIED.payments),
        (["storage", "storage_ops"], EMPTIED.buckets),
    ):
        left = "select count(*) filter (where channel = any(%s)), count(*) from marts.usage_summary where date = %s"
        ((of_service, of_all),) = built.query(left, channels, day)
        assert (of_service, of_all > 0) == (0, True)
    operations = "select distinct operation from marts.usage_daily where service = 'openai' and date = %s order by 1"
    assert built.query(operations, EMPTIED.openai) == [("chat_completion",), ("embedding",)]
    owner = "select tenant_id from marts.usage_daily where date = %s and service = 'stripe' and operation = 'refund'"
    assert built.query(owner, LATE.payments) == [(_owner_of(built, refunded),)], "its charge's tenant"

    once = built.marts()
    built.refresh("2026-11-06", LAST)
    built.refresh(FIRST, "2026-11-05")
    assert built.marts() == once, "in halves, the later one first"


def _owner_of(system: System, charge: dict[str, Any]) -> str:
    if named := charge["source"]["metadata"].get("tenant_id"):
        return str(named)
    account = (charge["source"].get("transfer_data") or {}).get("destination") or charge["account"]
    owners = [row["tenant_id"] for row in system.sandbox.dataset.tenant_resources if row["resource_id"] == account]
    return owners[0] if owners else "unattributed"


def test_what_is_not_answered_keeps_its_rows_and_is_not_done(built: System) -> None:
    """Each list alone is in tests/ingestion; here, that nothing of it reaches a mart."""
    before = built.marts()
    for path in (
        *("Messages.json?DateSent>=2026-11-04", "/usage/completions", "/v3/stats"),
        *("/Recordings.json", "/IncomingPhoneNumbers.json", "/Usage/Records/Daily.json"),
        *("/v1/balance_transactions", "/graphql", "/usage/images", "/v3/categories/stats"),
    ):
        built.sandbox.faults.add(path, status=500, count=None)
    with pytest.raises(CommandFailed) as failure:
        built.refresh(FIRST, LAST)
    built.sandbox.faults.clear()
    providers = {"twilio", "stripe", "cloudflare", "openai", "sendgrid"}
    assert {line.split(":")[0] for line in str(failure.value).splitlines()} == providers
    for table in ("twilio_messages", "openai_usage_completions", "sendgrid_stats"):
        assert table in str(failure.value), "not only another list of its provider"
    assert built.marts() == before
    undone = built.query("select distinct provider from ops.source_days where built_at is null")
    assert {provider for (provider,) in undone} == providers
    # Asked again, and throttled at first.
    now = int(datetime.now(UTC).timestamp())
    built.sandbox.faults.add("/Messages.json", status=429, headers={"Retry-After": "1"}, count=1)
    built.sandbox.faults.add("/usage/embeddings", status=429, count=1)
    built.sandbox.faults.add("/v3/subusers", status=429, headers={"X-RateLimit-Reset": str(now + 1)}, count=1)
    built.refresh(FIRST, LAST)
    assert built.marts() == before
    assert built.query("select count(*) from ops.source_days where built_at is null") == [(0,)]


def test_a_missing_bucket_is_no_answer_and_an_empty_one_is(built: System) -> None:
    before = built.marts()
    missing = {"openai_usage_images": [EMPTIED.openai], "sendgrid_category_stats": [EMPTIED.mail]}
    built.sandbox.set_missing(missing | {"openai_costs": ["2026-11-04"], "sendgrid_subuser_stats": ["2026-11-05"]})
    assert built.sandbox.delete("openai_usage_file_search_calls", date=EMPTIED.openai) > 0
    with pytest.raises(CommandFailed) as failure:
        built.refresh(FIRST, LAST, providers=["openai", "sendgrid"])
    assert re.findall(r"day\(s\) of (.+) not answered for \((.+?)\)", str(failure.value)) == [
        ("openai_costs, openai_usage_images", f"2026-11-04, {EMPTIED.openai}"),
        ("sendgrid_subuser_stats", "2026-11-05"),
    ]
    built.sandbox.set_missing({})
    found = "select operation, count(*) from marts.usage_daily where date = %s and operation in ('image', 'file_search_call') group by 1"
    ((operation, count),) = built.query(found, EMPTIED.openai)
    assert (operation, count > 0) == ("image", True)
    assert built.changed_cells(before) == {("ai", EMPTIED.openai)}


def test_days_that_r2_keeps_no_longer_stay_as_they_are(built: System, monkeypatch: pytest.MonkeyPatch) -> None:
    before = built.marts()
    for name in R2_LISTS:
        for day in ("2026-10-12", "2026-10-20"):
            remove_measurements(built, name, day)
    _at(built, monkeypatch, "2026-11-15")

    built.refresh("2026-10-10", "2026-10-22", providers=["cloudflare"])

    assert built.changed_cells(before) == {("storage", "2026-10-20"), ("storage_ops", "2026-10-20")}


def test_a_number_that_is_seen_late_counts_from_its_first_day(built: System) -> None:
    before, usual = built.marts(), dict(built.query(NUMBERS_OF_A_DAY))
    built.sandbox.put("twilio_phone_numbers", _number(built) | NUMBER)
    built.refresh(AS_OF_DAY, AS_OF_DAY, providers=["twilio"])

    undone = "select usage_date::text from ops.source_days where provider = 'twilio' and built_at is null order by 1"
    days = [f"2026-11-{number:02}" for number in range(5, 10)]
    assert built.query(undone) == [(day,) for day in days], "the nightly run takes the days before the window"

    built.refresh(days[0], days[-1], only="build")
    assert built.changed_cells(before) == {("phone", day) for day in [*days, AS_OF_DAY]}
    assert dict(built.query(NUMBERS_OF_A_DAY)) == {day: count + (day >= days[0]) for day, count in usual.items()}


def test_a_number_is_released_and_found_again_and_changes_accounts(
    built: System, monkeypatch: pytest.MonkeyPatch
) -> None:
    usual = {count for _, count in built.query(NUMBERS_OF_A_DAY)}.pop()
    number = _number(built)
    _at(built, monkeypatch, "2026-11-12")
    remove(built, "twilio_phone_numbers", [number], "sid")
    built.refresh(AS_OF_DAY, "2026-11-12", providers=["twilio"])
    held = dict(built.query(NUMBERS_OF_A_DAY))
    # Nobody looked on the 11th: the release is dated by the first list without the number.
    assert [held[f"2026-11-{day}"] for day in ("10", "11", "12")] == [usual, usual, usual - 1]

    _at(built, monkeypatch, "2026-11-14")
    built.sandbox.put("twilio_phone_numbers", number)
    built.refresh("2026-11-14", "2026-11-14", providers=["twilio"])
    undone = "select usage_date::text from ops.source_days where provider = 'twilio' and built_at is null order by 1"
    assert built.query(undone) == [("2026-11-12",)], "it was held on the day that was built without it"
    # To the subaccount, which is another tenant's.
    _at(built, monkeypatch, "2026-11-16")
    other = next(a["sid"] for a in built.sandbox.dataset.twilio_accounts if a["sid"] != number["account_sid"])
    built.sandbox.put("twilio_phone_numbers", number | {"account_sid": other})
    built.refresh(FIRST, "2026-11-16", providers=["twilio"])
    owners = (
        "select date::text, tenant_id, sum(unit_count)::int from marts.usage_daily"
        " where service = 'twilio_phone' and date >= '2026-11-14' group by 1, 2"
    )
    found = {(day, tenant): count for day, tenant, count in built.query(owners)}
    before, after = _tenants(built, number["phone_number"], other)
    assert found["2026-11-16", before] == found["2026-11-15", before] - 1
    assert found["2026-11-16", after] == found["2026-11-15", after] + 1
    assert set(dict(built.query(NUMBERS_OF_A_DAY)).values()) == {usual}, "two accounts list it, and it is one"

    once = built.marts()
    built.refresh("2026-11-12", "2026-11-16", only="build")
    built.refresh(FIRST, "2026-11-11", only="build")
    assert built.marts() == once, "a history rebuilt in halves, the later one first"


def _number(system: System) -> dict[str, Any]:
    """Return a tenant's number on the main account, by which alone the tenant is known."""
    main = system.sandbox.dataset.twilio_accounts[0]["sid"]
    owned = {
        row["resource_id"]
        for row in system.sandbox.dataset.tenant_resources
        if row["resource_type"] == "phone_number" and not row["valid_from"] and not row["valid_to"]
    }
    return next(
        dict(number)
        for number in system.sandbox.dataset.twilio_phone_numbers
        if number["phone_number"] in owned and number["account_sid"] == main and "_sandbox" not in number
    )


def _tenants(system: System, *resources: str) -> list[str]:
    rows = {row["resource_id"]: row["tenant_id"] for row in system.sandbox.dataset.tenant_resources}
    return [rows[resource] for resource in resources]


def _at(system: System, monkeypatch: pytest.MonkeyPatch, day: str) -> None:
    """Let it be noon of ``day`` for both sides."""
    monkeypatch.setenv("METERING_AS_OF", f"{day}T12:00:00+00:00")
    system.sandbox.now = datetime.fromisoformat(f"{day}T12:00:00+00:00")


def test_control_totals_change_with_their_day_and_are_not_owed(built: System) -> None:
    totals = "select date::text, service, tracked_units from marts.usage_reconciliation where service like '%_total'"
    before, reconciled = built.marts(), set(built.query(totals))
    assert {service for _, service, _ in reconciled} == {"twilio_sms_total", "twilio_voice_total"}
    call = next(
        dict(call)
        for call in built.sandbox.dataset.twilio_calls
        if re.search("0?4 Nov 2026", str(call["start_time"]))
        and call["status"] == "completed"
        and int(call["duration"])
    )
    remove(built, "twilio_calls", [call], "sid")
    built.sandbox.faults.add("/Usage/Records/Daily.json", status=403, count=None)
    built.refresh(FIRST, LAST, providers=["twilio"])
    drifted = set(built.query(totals)) - reconciled
    assert {(day, service) for day, service, _ in drifted} == {("2026-11-04", "twilio_voice_total")}

    built.sandbox.faults.clear()
    built.refresh(FIRST, LAST, providers=["twilio"])
    assert {(day, service) for day, service, _ in set(built.query(totals)) - reconciled} == {
        ("2026-11-04", "twilio_voice_total")
    }
    assert {channel for channel, _ in built.changed_cells(before)} <= {"voice", "recording"}
