"""Twilio's API: signing in, paging, date filters, subaccounts, usage records; and the official SDK."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest
import requests
from twilio.base.exceptions import TwilioRestException
from twilio.rest import Client

from sandbox import Dataset, Sandbox, running
from sandbox.times import day_of, parse_rfc2822

from .conftest import SETTLED, Http

MOVED = "2026-10-10"
A, B = "AC" + "a" * 32, "AC" + "b" * 32


def message(sid: str, sent: str | None, **other: Any) -> dict[str, Any]:
    created = sent or "Sat, 10 Oct 2026 00:00:00 +0000"
    return {
        "sid": sid,
        "account_sid": A,
        "date_created": created,
        "date_sent": sent,
        "status": "delivered",
        **other,
    }


def sdk(sandbox: Sandbox) -> Client:
    environment = sandbox.environment()
    client = Client(environment["TWILIO_ACCOUNT_SID"], environment["TWILIO_AUTH_TOKEN"])
    client.api.base_url = environment["TWILIO_BASE_URL"]
    return client


def test_wrong_credentials_get_twilios_401(shared: Sandbox, http: Http) -> None:
    url = f"{shared.url}/2010-04-01/Accounts/{http.account}/Messages.json"
    for auth in (None, (http.account, "wrong"), ("AC" + "0" * 32, http.environment["TWILIO_AUTH_TOKEN"])):
        answer = requests.get(url, auth=auth, timeout=10)
        assert answer.status_code == 401
        assert answer.json()["code"] == 20003
        assert answer.json()["status"] == 401
    assert requests.get(url, headers={"Authorization": "Basic !"}, timeout=10).status_code == 401


def test_unknown_things_get_twilios_404(http: Http) -> None:
    for path in (
        f"/2010-04-01/Accounts/{'AC' + '0' * 32}/Messages.json",
        "Messages/SM00000000000000000000000000000000.json",
        "Nonsense.json",
    ):
        answer = http.twilio(path)
        assert answer.status_code == 404
        assert answer.json()["code"] == 20404


def test_paging_visits_every_record_once_newest_first(http: Http) -> None:
    wanted = {m["sid"] for m in http.sandbox.dataset.at(SETTLED).twilio_messages if m["account_sid"] == http.account}
    records = http.all_of("Messages.json", "messages", PageSize=97)
    assert Counter(record["sid"] for record in records) == Counter(wanted)
    sent = [parse_rfc2822(r["date_sent"] or r["date_created"]) or 0 for r in records]
    assert sent == sorted(sent, reverse=True)
    assert not any("_sandbox" in record for record in records)


def test_page_envelope(http: Http) -> None:
    first = http.twilio("Messages.json").json()
    assert (first["page"], first["page_size"], first["start"], first["end"]) == (0, 50, 0, 49)
    assert first["previous_page_uri"] is None
    assert f"PageToken=PA{first['messages'][-1]['sid']}" in first["next_page_uri"]
    second = http.twilio(first["next_page_uri"]).json()
    assert (second["page"], second["start"]) == (1, 50)
    assert second["previous_page_uri"].endswith("Page=0")
    assert http.twilio("Messages.json", PageSize=5000).json()["page_size"] == 1000
    for bad in ({"PageSize": 0}, {"PageSize": "x"}, {"PageToken": "nonsense"}, {"PageToken": "PAxx"}):
        assert http.twilio("Messages.json", **bad).status_code == 400


@pytest.mark.parametrize(
    ("params", "expected"),
    [
        ({"DateSent": "2026-10-10"}, "start noon end"),
        ({"DateSent>": "2026-10-10"}, "start noon end next"),
        ({"DateSent<": "2026-10-10"}, "before start"),  # only a date: midnight at its start
        ({"DateSent>": "2026-10-10T12:00:00Z"}, "noon end next"),
        ({"DateSent<": "2026-10-10T12:00:00Z"}, "before start noon"),
        ({"DateSent": "2026-10-10T12:00:00Z"}, "noon"),
        ({"DateSent>": "2026-10-10T00:00:00Z", "DateSent<": "2026-10-11T00:00:00Z"}, "start noon end next"),
        ({"DateSent>": "2026-10-10 12:00:01+00:00"}, "end next"),
        ({}, "before start waiting noon end next"),
    ],
)
def test_date_sent_filters(params: dict[str, str], expected: str) -> None:
    times = {
        "before": "Fri, 09 Oct 2026 23:59:59 +0000",
        "start": "Sat, 10 Oct 2026 00:00:00 +0000",
        "noon": "Sat, 10 Oct 2026 12:00:00 +0000",
        "end": "Sat, 10 Oct 2026 23:59:59 +0000",
        "next": "Sun, 11 Oct 2026 00:00:00 +0000",
        "waiting": None,
    }
    dataset = Dataset(twilio_messages=[message(name, sent) for name, sent in times.items()])
    with running(dataset, now=SETTLED) as sandbox:
        found = Http(sandbox).all_of("Messages.json", "messages", PageSize=2, **params)
    assert {record["sid"] for record in found} == set(expected.split())


def test_bad_date_is_a_400(http: Http) -> None:
    answer = http.twilio("Messages.json", **{"DateSent>": "yesterday"})
    assert answer.status_code == 400
    assert "DateSent" in answer.json()["message"]


def test_call_filters(http: Http) -> None:
    day = http.all_of("Calls.json", "calls", StartTime=MOVED)
    assert day
    assert {day_of(parse_rfc2822(c["start_time"]) or 0) for c in day} == {date.fromisoformat(MOVED)}
    before = http.all_of("Calls.json", "calls", **{"StartTime>": MOVED, "StartTime<": "2026-10-11"}, PageSize=7)
    assert {c["sid"] for c in before} == {c["sid"] for c in day}
    busy = http.all_of("Calls.json", "calls", Status="completed", **{"EndTime<": MOVED})
    assert {c["status"] for c in busy} == {"completed"}
    child = next(c for c in http.all_of("Calls.json", "calls", PageSize=1000) if c["parent_call_sid"])
    found = http.all_of("Calls.json", "calls", ParentCallSid=child["parent_call_sid"])
    assert [c["sid"] for c in found] == [child["sid"]]
    assert http.twilio(f"Calls/{child['sid']}.json").json() == child


def test_recording_filters(http: Http) -> None:
    every = http.all_of("Recordings.json", "recordings", IncludeSoftDeleted="true", PageSize=7)
    kept = http.all_of("Recordings.json", "recordings")
    assert {r["status"] for r in every} - {r["status"] for r in kept} == {"deleted"}
    assert [r for r in every if r["status"] != "deleted"] == kept
    bounds = {"DateCreated>": f"{MOVED}T00:00:00Z", "DateCreated<": "2026-10-11T00:00:00Z"}
    day = http.all_of("Recordings.json", "recordings", **bounds, PageSize=2)
    assert day
    assert [r["sid"] for r in kept if day_of(parse_rfc2822(r["date_created"]) or 0) == date.fromisoformat(MOVED)] == [
        r["sid"] for r in day
    ]
    of_call = http.all_of("Recordings.json", "recordings", CallSid=kept[0]["call_sid"])
    assert [r["sid"] for r in of_call] == [kept[0]["sid"]]


def test_a_recording_goes_on_is_processed_and_priced(own: Sandbox, own_http: Http) -> None:
    recording = next(r for r in own.dataset.twilio_recordings if r["account_sid"] == own_http.account and r["price"])
    seen = []
    (began, _), (ended, _), (done, _) = recording["_sandbox"]["status_history"]
    for moment in (began, ended, done, "2026-12-01T00:00:00Z"):
        own.now = datetime.fromisoformat(moment)
        shown = own_http.twilio(f"Recordings/{recording['sid']}.json").json()
        seen.append((shown["status"], shown["duration"], shown["price"]))
    length = recording["duration"]
    assert seen[0] == ("in-progress", "-1", None)
    assert [state[:2] for state in seen[1:]] == [("processing", length), ("completed", length), ("completed", length)]
    assert seen[-1][2] == recording["price"]


def test_number_filters(http: Http) -> None:
    one = http.twilio("Messages.json", PageSize=1).json()["messages"][0]
    found = http.all_of("Messages.json", "messages", To=one["to"], From=one["from"])
    assert one["sid"] in {m["sid"] for m in found}
    assert {(m["to"], m["from"]) for m in found} == {(one["to"], one["from"])}
    number = http.all_of("IncomingPhoneNumbers.json", "incoming_phone_numbers")[3]
    listed = http.all_of("IncomingPhoneNumbers.json", "incoming_phone_numbers", PhoneNumber=number["phone_number"])
    assert listed == [number]
    assert http.twilio(f"IncomingPhoneNumbers/{number['sid']}.json").json() == number


def test_a_subaccount_has_its_own_lists_and_sees_nothing_else(shared: Sandbox, http: Http) -> None:
    accounts = http.all_of("/2010-04-01/Accounts.json", "accounts", PageSize=1)
    assert accounts[0]["sid"] == http.account
    sub = next(a for a in accounts if a["owner_account_sid"] != a["sid"])
    of_sub = http.all_of(f"/2010-04-01/Accounts/{sub['sid']}/Messages.json", "messages", PageSize=1000)
    of_main = http.all_of("Messages.json", "messages", PageSize=1000)
    assert {m["account_sid"] for m in of_sub} == {sub["sid"]}
    assert {m["account_sid"] for m in of_main} == {http.account}
    auth = (sub["sid"], sub["auth_token"])
    root = f"{shared.url}/2010-04-01/Accounts"
    assert requests.get(f"{root}/{sub['sid']}/Calls.json", auth=auth, timeout=10).status_code == 200
    assert requests.get(f"{root}/{http.account}/Calls.json", auth=auth, timeout=10).status_code == 404
    own = requests.get(f"{root}.json", auth=auth, timeout=10).json()["accounts"]
    assert [a["sid"] for a in own] == [sub["sid"]]


def test_usage_records_count_the_same_messages(http: Http) -> None:
    day = "2026-10-07"
    messages = http.all_of("Messages.json", "messages", DateSent=day, PageSize=1000)
    sms = [m for m in messages if m["status"] != "failed" and m["num_media"] == "0"]
    span = {"StartDate": day, "EndDate": day}
    path = "Usage/Records/Daily.json"
    own = http.all_of(path, "usage_records", **span, Category="sms", IncludeSubaccounts="false")
    assert len(own) == 1
    assert own[0]["count"] == str(len(sms))
    assert own[0]["usage"] == str(sum(int(m["num_segments"]) for m in sms))
    assert Decimal(str(own[0]["price"])) == sum(abs(Decimal(m["price"] or 0)) for m in sms)
    both = http.all_of(path, "usage_records", **span, Category="sms")
    assert int(both[0]["count"]) > int(own[0]["count"])
    total = {r["category"]: r for r in http.all_of("Usage/Records.json", "usage_records", **span)}
    assert total["sms"]["usage"] == both[0]["usage"]
    days = http.all_of(path, "usage_records", Category="calls", StartDate="-50days", PageSize=7)
    assert len(days) == 51
    assert http.twilio(path, StartDate="soon").status_code == 400


def test_data_without_accounts_is_served_under_the_accounts_it_names() -> None:
    dataset = Dataset(twilio_messages=[message("SM1", None), message("SM2", None, account_sid=B)])
    with running(dataset) as sandbox:
        http = Http(sandbox)
        assert http.account == A
        assert len(http.all_of("/2010-04-01/Accounts.json", "accounts")) == 2
        assert [m["sid"] for m in http.all_of("Messages.json", "messages")] == ["SM1"]


def test_malformed_records_are_served_as_they_are() -> None:
    odd = message("SM1", "Sat, 10 Oct 2026 12:00:00 +0000", num_segments="many", price={}, status=7)
    worse = message("SM2", "the day after", surprise=[1])
    worse["date_created"] = "Sat, 10 Oct 2026 13:00:00 +0000"
    with running(Dataset(twilio_messages=[odd, worse])) as sandbox:
        found = Http(sandbox).all_of("Messages.json", "messages", DateSent="2026-10-10")
        assert found == [worse, odd]
        assert Http(sandbox).twilio("Usage/Records.json").status_code == 200


def test_official_sdk(shared: Sandbox, http: Http) -> None:
    client = sdk(shared)
    since, until = datetime(2026, 10, 5, tzinfo=UTC), datetime(2026, 10, 8, tzinfo=UTC)
    messages = client.messages.list(date_sent_after=since, date_sent_before=until, page_size=50)
    assert len(messages) > 50
    assert {m.date_sent.date() for m in messages} <= {date(2026, 10, day) for day in (5, 6, 7, 8)}
    one = client.messages(messages[0].sid).fetch()
    assert (one.sid, one.num_segments) == (messages[0].sid, messages[0].num_segments)
    calls = client.calls.list(start_time_after=since, start_time_before=until, page_size=3)
    assert all(since <= call.start_time < until for call in calls)
    numbers = client.incoming_phone_numbers.list(page_size=2)
    assert len(numbers) > 2
    subaccount = next(a for a in client.api.accounts.list() if a.sid != http.account)
    assert client.api.accounts(subaccount.sid).messages.list(limit=5)
    records = client.usage.records.daily.list(category="sms", start_date=since.date(), end_date=until.date())
    assert len(records) == 4
    with pytest.raises(TwilioRestException) as missing:
        client.messages("SM" + "0" * 32).fetch()
    assert (missing.value.status, missing.value.code) == (404, 20404)
