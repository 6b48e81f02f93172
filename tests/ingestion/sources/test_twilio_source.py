"""Twilio: each account's each day is one answer, cut to the day here; numbers are hashed; what cannot be read is set aside."""

from __future__ import annotations

import logging
from collections import Counter
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from ingestion.sources.ahead import REQUESTS_AT_ONCE
from ingestion.sources.twilio.schemas import number_type
from ingestion.windows import Window
from tests.ingestion.ingesting import AS_OF, DAY, WINDOW, Ingest
from usage_metering.pii import Hasher

DONE = ("delivered", "completed")
STRANGER = "+12015550199"
ONE_DAY = Window.of_days(DAY, DAY)


def with_sid(message: dict[str, Any], number: int, **values: object) -> dict[str, Any]:
    return {**message, "sid": f"SM{number:032x}", **values}


def test_every_accounts_records_arrive_on_their_days(ingest: Ingest) -> None:
    result = ingest.run("twilio")
    assert (result.status, result.error, result.moved_days) == ("ok", None, set())
    served = ingest.sandbox.dataset.at(AS_OF)  # some records vanish, early or late
    for table, records, field in (
        ("twilio_messages", served.twilio_messages, "date_sent"),
        ("twilio_calls", served.twilio_calls, "start_time"),
        ("twilio_recordings", served.twilio_recordings, "date_created"),
    ):
        wanted = Counter(
            (record["account_sid"], datetime.strptime(record[field], "%a, %d %b %Y %H:%M:%S %z").date())
            for record in records
            if record[field]
        )
        found = ingest.query(f"select account_id, usage_date, count(*) from raw.{table} group by 1, 2")
        assert {(account, day): count for account, day, count in found} == dict(wanted)
        assert len({account for account, _ in wanted}) == 2
        assert result.tables[table].answered == 2 * len(WINDOW.days())
    assert result.tables["twilio_phone_numbers"].rows == len(served.twilio_phone_numbers)


@pytest.mark.usefixtures("by_dlt")
def test_a_record_is_kept_exactly_and_without_its_body(ingest: Ingest) -> None:
    message = with_sid(
        ingest.message(),
        1,
        price="-0.123456789012345678",
        price_unit="usd",
        num_segments="3",
        num_media="1",
        error_code=30003,
        **{"from": STRANGER, "to": "whatsapp:+1 (201) 555-0123"},
    )
    ingest.sandbox.put("twilio_messages", message)
    ingest.run("twilio", ONE_DAY)
    (row,) = ingest.query(
        "select price, price_unit, num_segments, num_media, error_code, from_number, from_number_hash, to_number_hash,"
        " date_sent, usage_date from raw.twilio_messages where sid = %s",
        message["sid"],
    )
    hasher = Hasher("key")
    sent = datetime.strptime(message["date_sent"], "%a, %d %b %Y %H:%M:%S %z")
    hashes = (hasher.hash(STRANGER), hasher.hash("+12015550123"))
    assert row == (Decimal("-0.123456789012345678"), "USD", 3, 1, 30003, None, *hashes, sent, DAY)
    assert not [line for line in ingest.stored("twilio_messages") if "body" in line or message["body"] in line]


def test_only_numbers_of_ours_stand_in_clear(ingest: Ingest) -> None:
    ours = str(ingest.sandbox.dataset.twilio_phone_numbers[0]["phone_number"])
    listed, mapped = with_sid(ingest.message(), 1), with_sid(ingest.message(), 2)
    ingest.sandbox.put("twilio_messages", listed | {"from": ours, "to": STRANGER})
    ingest.sandbox.put("twilio_messages", mapped | {"from": "+12015550155", "to": STRANGER})
    ingest.query(
        "insert into raw.tenant_resources (tenant_id, provider, resource_type, resource_id, resource_hash)"
        " values ('acme', 'twilio', 'phone_number', '+12015550155', %s)",
        Hasher("key").hash("(201) 555-0155"),
    )
    ingest.run("twilio", ONE_DAY)
    found = ingest.query(
        "select from_number, to_number from raw.twilio_messages where sid = any(%s) order by sid",
        [listed["sid"], mapped["sid"]],
    )
    assert found == [(ours, None), ("+12015550155", None)]
    clear = {number for (number,) in ingest.query("select to_number from raw.twilio_messages")} - {None}
    own = {str(number["phone_number"]) for number in ingest.sandbox.dataset.twilio_phone_numbers}
    assert clear <= own


def test_a_day_holds_its_first_second_and_not_the_next_days(ingest: Ingest) -> None:
    cases: list[tuple[str | None, date | None]] = [
        ("Tue, 03 Nov 2026 00:00:00 +0000", date(2026, 11, 3)),
        ("Tue, 03 Nov 2026 23:59:59 +0000", date(2026, 11, 3)),
        ("Wed, 04 Nov 2026 00:00:00 +0000", None),
        ("Mon, 02 Nov 2026 23:59:59 +0000", None),
        (None, None),
    ]
    messages = [with_sid(ingest.message(), number, date_sent=sent) for number, (sent, _) in enumerate(cases)]
    # A server that works by whole days answers with the neighbours' records too.
    page = {"messages": messages, "next_page_uri": None}
    ingest.sandbox.faults.add(f"{messages[0]['account_sid']}/Messages.json", status=200, body=page, count=None)
    result = ingest.run("twilio", ONE_DAY)
    assert result.status == "ok"
    sids = [message["sid"] for message in messages]
    found = dict(ingest.query("select sid, usage_date from raw.twilio_messages where sid = any(%s)", sids))
    assert [found.get(sid) for sid in sids] == [wanted for _, wanted in cases]
    assert result.tables["twilio_messages"].rejected == 0


def test_a_malformed_record_is_set_aside_and_the_rest_loads(ingest: Ingest) -> None:
    cases: list[tuple[dict[str, object], str]] = [
        ({"price": "free"}, "price: not a number"),
        ({"num_segments": "many"}, "num_segments: not a whole number"),
        ({"num_segments": "99999999999"}, "num_segments: above 2147483647"),
        ({"status": None}, "status: missing"),
        ({"status": "sent\x00"}, "status: holds a NUL character"),
        ({"date_updated": "soon"}, "date_updated: not a time"),
        ({"from": 12015550199}, "from: not text but int"),
        ({"error_code": "E1"}, "error_code: not a whole number"),
    ]
    before = ingest.run("twilio", ONE_DAY).tables["twilio_messages"].rows
    of_a_stranger = {"to": STRANGER, "body": f"call me on {STRANGER}"}
    bad = [with_sid(ingest.message(), n, **{**of_a_stranger, **values}) for n, (values, _) in enumerate(cases)]
    good = with_sid(ingest.message(), len(bad))
    page = {"messages": [*bad, good], "next_page_uri": None}
    ingest.sandbox.faults.add(f"{good['account_sid']}/Messages.json", status=200, body=page)
    result = ingest.run("twilio", ONE_DAY)
    assert (result.status, result.tables["twilio_messages"].rejected) == ("ok", len(bad))
    assert ingest.query("select count(*) from raw.twilio_messages where sid = %s", good["sid"]) == [(1,)]
    rows = ingest.query(
        "select table_name, usage_date, record_key, reason, record::text from raw.rejected_records order by record_key"
    )
    assert [row[:3] for row in rows] == [("twilio_messages", DAY, message["sid"]) for message in bad]
    for row, (_, reason) in zip(rows, cases, strict=True):
        assert row[3].startswith(reason)
        assert "body" not in row[4]
        assert "2015550199" not in row[4]
    counted = ingest.query("select sum(rejected_count) from ops.source_reads where table_name = 'twilio_messages'")
    assert counted == [(len(bad),)]
    # Put right at the provider, they are records like the others.
    again = ingest.run("twilio", ONE_DAY)
    assert again.tables["twilio_messages"].rows == before
    assert ingest.query("select count(*) from raw.rejected_records") == [(0,)]


def test_a_malformed_record_of_another_day_is_not_this_days(ingest: Ingest) -> None:
    other = with_sid(ingest.message(), 1, price="free", date_sent="Wed, 04 Nov 2026 00:00:00 +0000")
    unsent = with_sid(ingest.message(), 2, num_segments="?", date_sent=None)
    page = {"messages": [other, unsent], "next_page_uri": None}
    ingest.sandbox.faults.add(f"{other['account_sid']}/Messages.json", status=200, body=page, count=None)
    result = ingest.run("twilio", ONE_DAY)
    assert (result.status, result.tables["twilio_messages"].rejected) == ("ok", 0)


def test_an_unknown_field_changes_nothing(ingest: Ingest) -> None:
    ingest.run("twilio", ONE_DAY)
    before = ingest.stored("twilio_messages")
    ingest.sandbox.put("twilio_messages", ingest.message() | {"mood": {"nested": [1, None]}})
    assert ingest.run("twilio", ONE_DAY).status == "ok"
    assert ingest.stored("twilio_messages") == before


def test_a_record_on_two_pages_is_one_row_in_its_newest_state(ingest: Ingest) -> None:
    old = with_sid(ingest.message(), 1, status="sent", date_updated="Tue, 03 Nov 2026 10:00:00 +0000")
    new = old | {"status": "delivered", "date_updated": "Tue, 03 Nov 2026 10:00:05 +0000"}
    page = {"messages": [new, old], "next_page_uri": None}
    ingest.sandbox.faults.add(f"{old['account_sid']}/Messages.json", status=200, body=page)
    assert ingest.run("twilio", ONE_DAY).status == "ok"
    found = ingest.query("select status from raw.twilio_messages where sid = %s", old["sid"])
    assert found == [("delivered",)]


@pytest.mark.parametrize("status", [401, 403, 404])
def test_a_key_that_may_not_list_accounts_reads_its_own_and_the_directorys(
    ingest: Ingest, status: int, caplog: pytest.LogCaptureFixture
) -> None:
    main, sub = (str(account["sid"]) for account in ingest.sandbox.dataset.twilio_accounts)
    ingest.sandbox.faults.add("/Accounts.json", status=status, count=None)
    with caplog.at_level(logging.WARNING, logger="metering.ingest"):
        assert ingest.run("twilio", ONE_DAY).status == "ok"
    assert "/Accounts.json" in caplog.text
    assert ingest.query("select distinct account_id from raw.twilio_messages") == [(main,)]
    ingest.query(
        "insert into raw.tenant_resources (tenant_id, provider, resource_type, resource_id)"
        " values ('acme', 'twilio', 'subaccount', %s)",
        sub,
    )
    assert ingest.run("twilio", ONE_DAY).status == "ok"
    assert {row[0] for row in ingest.query("select account_id from raw.twilio_messages")} == {main, sub}


def test_a_subaccount_that_only_the_directory_knows_is_no_failure(
    ingest: Ingest, caplog: pytest.LogCaptureFixture
) -> None:
    ingest.query(
        "insert into raw.tenant_resources (tenant_id, provider, resource_type, resource_id)"
        " values ('acme', 'twilio', 'subaccount', 'ACgone')"
    )
    with caplog.at_level(logging.WARNING, logger="metering.ingest"):
        assert ingest.run("twilio", ONE_DAY).status == "ok"
    assert "ACgone" in caplog.text


def test_a_listed_subaccount_that_is_not_found_leaves_its_days_unanswered(ingest: Ingest) -> None:
    main, sub = (str(account["sid"]) for account in ingest.sandbox.dataset.twilio_accounts)
    ingest.run("twilio")
    before = ingest.stored("twilio_messages")
    ingest.sandbox.faults.add(f"/Accounts/{sub}/", status=404, count=None)
    ingest.sandbox.delete("twilio_messages", sid=ingest.message()["sid"])
    result = ingest.run("twilio")
    assert result.status == "failed"
    assert result.tables["twilio_messages"].unanswered == WINDOW.days()
    assert len(before - ingest.stored("twilio_messages")) == 1  # the main account was answered for
    answered = ingest.query("select distinct account_id from ops.source_reads where load_id = %s", result.load_id)
    assert answered == [(main,)]


@pytest.mark.parametrize("accounts", [[None], ["AC1"], [{"sid": None}], [{}]])
def test_an_accounts_list_that_cannot_be_read_is_no_crash(ingest: Ingest, accounts: list[object]) -> None:
    ingest.sandbox.faults.add("/Accounts.json", status=200, body={"accounts": accounts, "next_page_uri": None})
    assert ingest.run("twilio", ONE_DAY).status == "ok"


def test_a_provider_that_is_down_is_given_up_after_three_failures(ingest: Ingest) -> None:
    ingest.sandbox.faults.add("s.json?", status=500, count=None)
    result = ingest.run("twilio")
    assert result.status == "failed"
    assert result.tables["twilio_messages"].unanswered == WINDOW.days()
    days = [request for request in ingest.sandbox.requests if "DateSent" in request or "StartTime" in request]
    assert len(days) <= 2 * (3 + 2 * REQUESTS_AT_ONCE)  # two attempts each; two lists have asked ahead


HELD = (
    "select account_id, number_type, held_from, released_on, last_seen_on from raw.twilio_phone_numbers"
    " where sid = %s order by held_from"
)
NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)


def test_a_number_gone_from_the_list_is_released_and_may_come_back(ingest: Ingest) -> None:
    ingest.run("twilio", ONE_DAY)
    number = dict(ingest.sandbox.dataset.twilio_phone_numbers[0])
    released = "select released_on from raw.twilio_phone_numbers where sid = %s"
    ingest.sandbox.delete("twilio_phone_numbers", sid=number["sid"])
    ingest.sandbox.faults.add("/IncomingPhoneNumbers.json", status=500, count=None)
    ingest.run("twilio", ONE_DAY)
    assert ingest.query(released, number["sid"]) == [(None,)]  # no list, no news
    ingest.sandbox.faults.clear()
    ingest.run("twilio", ONE_DAY)
    assert ingest.query(released, number["sid"]) == [(date(2026, 11, 20),)]
    ingest.sandbox.put("twilio_phone_numbers", number)
    ingest.run("twilio", ONE_DAY)
    assert ingest.query(released, number["sid"]) == [(None,)]


def test_a_number_is_held_from_its_provisioning_to_the_last_list_that_has_it(ingest: Ingest) -> None:
    number = dict(ingest.sandbox.dataset.twilio_phone_numbers[0])
    account = number["account_sid"]
    number["date_created"] = "Sun, 15 Nov 2026 23:59:59 +0000"
    ingest.sandbox.put("twilio_phone_numbers", number)
    provisioned = date(2026, 11, 15)
    for later, seen in ((0, 20), (1, 21), (0, 21)):
        # Whatever days are asked for, the list is of today; an earlier look takes nothing back.
        ingest.run("twilio", ONE_DAY, as_of=NOON + timedelta(days=later))
        assert ingest.query(HELD, number["sid"]) == [(account, "local", provisioned, None, date(2026, 11, seen))]
    ingest.sandbox.delete("twilio_phone_numbers", sid=number["sid"])
    ingest.run("twilio", ONE_DAY, as_of=NOON)
    assert ingest.query(HELD, number["sid"])[0][3] is None  # it has been seen since
    ingest.run("twilio", ONE_DAY, as_of=NOON + timedelta(days=4))
    assert ingest.query(HELD, number["sid"]) == [
        (account, "local", provisioned, date(2026, 11, 24), date(2026, 11, 21))
    ]


def test_days_that_were_read_without_a_number_are_told_when_it_is_seen(ingest: Ingest) -> None:
    """They have been built; nobody would build them again."""
    number = dict(ingest.sandbox.dataset.twilio_phone_numbers[0])
    number["date_created"] = f"{WINDOW.start - timedelta(days=400):%a, %d %b %Y} 10:00:00 +0000"
    ingest.sandbox.delete("twilio_phone_numbers", sid=number["sid"])
    ingest.run("twilio")
    ingest.sandbox.put("twilio_phone_numbers", number)
    last = Window(WINDOW.end - timedelta(days=1), WINDOW.end)
    # What was never read is not built without it.
    assert ingest.run("twilio", last).moved_days == {day for day in WINDOW.days() if day not in last}
    assert ingest.run("twilio", last).moved_days == set()
    ingest.sandbox.delete("twilio_phone_numbers", sid=number["sid"])
    assert ingest.run("twilio", last, as_of=NOON).moved_days == set()


def test_days_of_recordings_and_legs_that_were_read_before_their_call_are_told(ingest: Ingest) -> None:
    """They have been built as nobody's."""
    first, second = WINDOW.start, WINDOW.start + timedelta(days=1)
    call = {
        **ingest.sandbox.dataset.twilio_calls[0],
        "sid": f"CA{7:032x}",
        "start_time": f"{first:%a, %d %b %Y} 23:50:00 +0000",
        "parent_call_sid": None,
    }
    leg = call | {
        "sid": f"CA{8:032x}",
        "parent_call_sid": call["sid"],
        "start_time": f"{second:%a, %d %b %Y} 00:05:00 +0000",
    }
    recording = {
        **ingest.sandbox.dataset.twilio_recordings[0],
        "sid": f"RE{7:032x}",
        "call_sid": call["sid"],
        "date_created": f"{second + timedelta(days=1):%a, %d %b %Y} 00:10:00 +0000",
    }
    for name, record in (("twilio_calls", call), ("twilio_calls", leg), ("twilio_recordings", recording)):
        ingest.sandbox.put(name, record)
    alone = Window.of_days(first, first)
    ingest.run("twilio", Window(second, WINDOW.end))
    assert ingest.run("twilio", alone).moved_days == {second, second + timedelta(days=1)}
    assert ingest.run("twilio", alone).moved_days == set()
    ingest.sandbox.put("twilio_calls", call | {"from": STRANGER, "to": STRANGER})
    assert ingest.run("twilio", alone).moved_days == {second, second + timedelta(days=1)}


def test_a_number_that_goes_to_another_account_is_held_in_each(ingest: Ingest) -> None:
    main, sub = (str(account["sid"]) for account in ingest.sandbox.dataset.twilio_accounts)
    number = dict(ingest.sandbox.dataset.twilio_phone_numbers[0])
    assert number["account_sid"] == main
    ingest.run("twilio", ONE_DAY)
    ((*_, seen_from, _, _),) = ingest.query(HELD, number["sid"])
    ingest.sandbox.put("twilio_phone_numbers", number | {"account_sid": sub})
    ingest.run("twilio", ONE_DAY, as_of=NOON + timedelta(days=1))
    today, tomorrow = date(2026, 11, 20), date(2026, 11, 21)
    assert ingest.query(HELD, number["sid"]) == [
        (main, "local", seen_from, tomorrow, today),
        (sub, "local", tomorrow, None, tomorrow),
    ]


@pytest.mark.parametrize(
    ("number", "reported", "wanted"),
    [
        ("+14155550123", "local", "local"),
        ("+14155550123", "toll free", "toll_free"),
        ("+14155550123", "TollFree", "toll_free"),
        ("+447700900123", "mobile", "mobile"),
        ("+14155550123", None, "local"),
        ("+18335550100", None, "toll_free"),
        ("+18885550100", "something new", "toll_free"),
        ("+447911123456", "", "mobile"),
        ("no number", None, "local"),
    ],
)
def test_a_numbers_type_is_what_twilio_says_else_what_its_digits_say(
    number: str, reported: str | None, wanted: str
) -> None:
    assert number_type(number, reported) == wanted


@pytest.mark.parametrize("status", [403, 404])
def test_an_account_whose_numbers_may_not_be_listed_is_a_failure(ingest: Ingest, status: int) -> None:
    ingest.sandbox.faults.add("/IncomingPhoneNumbers.json", status=status, count=None)
    result = ingest.run("twilio", ONE_DAY)
    assert result.status == "failed"
    assert "/IncomingPhoneNumbers.json" in (result.error or "")
    assert result.tables["twilio_messages"].rows > 0


def test_a_closed_account_is_asked_and_owes_no_answer(ingest: Ingest, caplog: pytest.LogCaptureFixture) -> None:
    (account,) = (a for a in ingest.sandbox.dataset.twilio_accounts if a["sid"] != a["owner_account_sid"])
    ingest.sandbox.put("twilio_accounts", account | {"status": "closed"})
    assert ingest.run("twilio", ONE_DAY).status == "ok"
    assert ingest.query("select count(*) > 0 from raw.twilio_messages where account_id = %s", account["sid"]) == [
        (True,)
    ]
    ingest.sandbox.faults.add(f"/Accounts/{account['sid']}/", status=404, count=None)
    with caplog.at_level(logging.WARNING, logger="metering.ingest"):
        assert ingest.run("twilio", ONE_DAY).status == "ok"
    assert account["sid"] in caplog.text


def test_a_deleted_recording_is_read_as_well(ingest: Ingest) -> None:
    ingest.run("twilio")
    found = dict(ingest.query("select status, count(*) from raw.twilio_recordings group by 1"))
    assert found["deleted"] == 6  # one a tenant
    assert found["completed"] > 6
    kept = ingest.query("select duration_seconds > 0 from raw.twilio_recordings where status = 'deleted'")
    assert set(kept) == {(True,)}


def test_a_recording_that_goes_on_has_no_length(ingest: Ingest) -> None:
    recording = dict(ingest.sandbox.dataset.twilio_recordings[0])
    day = datetime.strptime(recording["date_created"], "%a, %d %b %Y %H:%M:%S %z").date()
    ingest.sandbox.put("twilio_recordings", recording | {"status": "in-progress", "duration": "-1", "price": None})
    assert ingest.run("twilio", Window.of_days(day, day)).tables["twilio_recordings"].rejected == 0
    found = "select status, duration_seconds, price from raw.twilio_recordings where sid = %s"
    assert ingest.query(found, recording["sid"]) == [("in-progress", None, None)]


@pytest.mark.usefixtures("by_dlt")
def test_twilios_totals_are_kept_by_account_and_day(ingest: Ingest) -> None:
    result = ingest.run("twilio")
    main, sub = (str(account["sid"]) for account in ingest.sandbox.dataset.twilio_accounts)
    assert result.tables["twilio_usage_records"].answered == 2 * len(WINDOW.days())
    totals = (
        "select usage_amount, event_count, price, price_unit, as_of from raw.twilio_usage_records"
        " where account_id = %s and usage_date = %s and category = 'calls'"
    )
    for account in (main, sub):
        ((minutes, calls, price, currency, counted),) = ingest.query(totals, account, DAY)
        assert [(minutes, calls, price)] == ingest.query(
            "select sum(ceil(duration_seconds / 60.0)), count(*), coalesce(sum(abs(price)), 0) from raw.twilio_calls"
            " where account_id = %s and usage_date = %s and status = 'completed' and duration_seconds > 0",
            account,
            DAY,
        )
        assert (currency, counted) == ("USD", AS_OF)
    assert ingest.query("select count(*) from raw.twilio_usage_records where usage_amount = 0 and price = 0") == [(0,)]
    # Asked again, they are replaced by the day.
    before = ingest.stored("twilio_usage_records")
    ingest.run("twilio", ONE_DAY)
    assert ingest.stored("twilio_usage_records") == before


def test_totals_that_may_not_be_read_are_no_failure_and_those_that_fail_are(
    ingest: Ingest, caplog: pytest.LogCaptureFixture
) -> None:
    ingest.run("twilio", ONE_DAY)
    before = ingest.stored("twilio_usage_records")
    ingest.sandbox.faults.add("/Usage/Records", status=403, count=None)
    with caplog.at_level(logging.WARNING, logger="metering.ingest"):
        assert ingest.run("twilio", ONE_DAY).status == "ok"
    assert "no control totals" in caplog.text
    ingest.sandbox.faults.clear()
    ingest.sandbox.faults.add("/Usage/Records", status=429, count=None)
    assert ingest.run("twilio", ONE_DAY).status == "failed"
    assert ingest.stored("twilio_usage_records") == before


def test_a_day_without_totals_in_the_answer_is_not_answered(ingest: Ingest) -> None:
    ingest.run("twilio", ONE_DAY)
    before = ingest.stored("twilio_usage_records")
    odd = [{"category": "sms"}, {"category": "sms", "start_date": "2026-11-04", "usage": "5"}, None]
    page = {"usage_records": odd, "next_page_uri": None}
    ingest.sandbox.faults.add("/Usage/Records", status=200, body=page, count=None)
    result = ingest.run("twilio", ONE_DAY)
    assert (result.status, result.tables["twilio_usage_records"].answered) == ("ok", 0)
    assert ingest.stored("twilio_usage_records") == before


@pytest.mark.parametrize("fault", [{"status": 429, "count": 1}, {"status": 200, "cut": "middle", "count": 1}])
@pytest.mark.parametrize("path", ["/Recordings.json", "/IncomingPhoneNumbers.json", "/Usage/Records"])
def test_a_list_that_is_throttled_or_cut_once_is_asked_again(
    ingest: Ingest, path: str, fault: dict[str, object]
) -> None:
    ingest.sandbox.faults.add(path, **fault)
    assert ingest.run("twilio", ONE_DAY).status == "ok"


@pytest.mark.parametrize(
    ("table", "records"),
    [
        ("twilio_messages", "twilio_messages"),
        ("twilio_calls", "twilio_calls"),
        ("twilio_recordings", "twilio_recordings"),
    ],
)
@pytest.mark.usefixtures("by_dlt")
def test_every_column_is_read_from_a_full_record(ingest: Ingest, table: str, records: str) -> None:
    ours = [str(number["phone_number"]) for number in ingest.sandbox.dataset.twilio_phone_numbers[:2]]
    ids = ("parent_call_sid", "phone_number_sid", "conference_sid", "error_code")
    full = {**dict.fromkeys(ids, "1"), "from": ours[0], "to": ours[1]}
    (record, *_) = (dict(found) for found in getattr(ingest.sandbox.dataset, records) if found["status"] in DONE)
    ingest.sandbox.put(records, {**record, **full, "messaging_service_sid": "MG1"})
    assert ingest.run("twilio").status == "ok"
    ((row,),) = ingest.query(f"select to_jsonb(t) from raw.{table} as t where sid = %s", record["sid"])
    assert {name for name, value in row.items() if value is None} == set()


def test_a_refused_day_does_not_hide_the_days_after_it(ingest: Ingest) -> None:
    refused = {"code": 20004, "message": "Messages older than 400 days cannot be listed", "status": 400}
    for day in WINDOW.days()[:2]:
        ingest.sandbox.faults.add(f"DateSent>={day}", status=400, body=refused, count=None)
    result = ingest.run("twilio")
    assert (result.status, result.tables["twilio_messages"].unanswered) == ("failed", WINDOW.days()[:2])
    assert "400" in str(result.error)
    assert result.tables["twilio_calls"].unanswered == []


def test_odd_records_are_set_aside_with_bounded_content_and_the_rest_is_stored(ingest: Ingest) -> None:
    long = with_sid(ingest.message(), 1) | {"sid": "SM" + "x" * 10_000_000}
    costly = with_sid(ingest.message(), 2, price="1e1000000")
    good = with_sid(ingest.message(), 3)
    page = {"messages": [long, costly, f"call me on {STRANGER}", good], "next_page_uri": None}
    ingest.sandbox.faults.add(f"{good['account_sid']}/Messages.json", status=200, body=page)
    result = ingest.run("twilio", ONE_DAY)
    assert (result.status, result.tables["twilio_messages"].rejected) == ("ok", 3)
    assert ingest.query("select count(*) from raw.twilio_messages where sid = %s", good["sid"]) == [(1,)]
    kept = [record for (record,) in ingest.query("select record::text from raw.rejected_records")]
    assert max(map(len, kept)) < 50_000
    assert not [record for record in kept if "call me" in record or STRANGER in record]
