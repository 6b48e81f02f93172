"""What the clock drives: late records, filled prices, changing statuses, vanishing records, growing days."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
import requests

from sandbox import Dataset, Sandbox, running

from .conftest import Http

ACCOUNT = "AC" + "a" * 32
DAY = "Sat, 10 Oct 2026 "


def moment(day: int, hour: int, minute: int = 0) -> datetime:
    return datetime(2026, 10, day, hour, minute, tzinfo=UTC)


def message(**notes: Any) -> dict[str, Any]:
    return {
        "sid": "SM1",
        "account_sid": ACCOUNT,
        "messaging_service_sid": "MG" + "b" * 32,
        "from": "+12065550100",
        "date_created": DAY + "08:00:00 +0000",
        "date_sent": DAY + "10:00:00 +0000",
        "num_segments": "2",
        "status": "delivered",
        "price": "-0.01660",
        "price_unit": "USD",
        **({"_sandbox": notes} if notes else {}),
    }


def call(**notes: Any) -> dict[str, Any]:
    return {
        "sid": "CA1",
        "account_sid": ACCOUNT,
        "date_created": DAY + "09:59:00 +0000",
        "start_time": DAY + "10:00:00 +0000",
        "end_time": DAY + "10:05:00 +0000",
        "duration": "300",
        "status": "completed",
        "price": "-0.06500",
        "_sandbox": notes,
    }


def messages(sandbox: Sandbox, **params: str) -> list[dict[str, Any]]:
    return Http(sandbox).all_of("Messages.json", "messages", **params)


def test_nothing_is_served_before_it_was_created() -> None:
    with running(Dataset(twilio_messages=[message()]), now=moment(10, 7)) as sandbox:
        assert messages(sandbox) == []
        assert Http(sandbox).twilio("Messages/SM1.json").status_code == 404
        sandbox.now = moment(10, 8)
        assert messages(sandbox) == [message()]


def test_late_record() -> None:
    late = message(visible_from="2026-10-12T06:00:00Z")
    with running(Dataset(twilio_messages=[late]), now=moment(12, 5)) as sandbox:
        assert messages(sandbox, DateSent="2026-10-10") == []
        sandbox.now = moment(12, 6)
        assert messages(sandbox, DateSent="2026-10-10") == [message()]


def test_price_is_filled_later() -> None:
    priced = message(price_from="2026-10-11T09:00:00Z")
    with running(Dataset(twilio_messages=[priced]), now=moment(11, 8)) as sandbox:
        assert messages(sandbox) == [{**message(), "price": None}]
        sandbox.now = moment(11, 9)
        assert messages(sandbox) == [message()]
        sandbox.now = moment(11, 8)
        assert messages(sandbox)[0]["price"] is None, "the clock may go back"


def test_vanishing_record_is_gone_and_a_page_token_that_names_it_still_works() -> None:
    gone = message(vanishes_at="2026-10-12T00:00:00Z")
    older = {**message(), "sid": "SM0", "date_sent": DAY + "09:00:00 +0000"}
    with running(Dataset(twilio_messages=[gone, older]), now=moment(11, 0)) as sandbox:
        http = Http(sandbox)
        first = http.twilio("Messages.json", PageSize=1).json()
        assert [m["sid"] for m in first["messages"]] == ["SM1"]
        sandbox.now = moment(12, 0)
        assert [m["sid"] for m in messages(sandbox)] == ["SM0"]
        assert [m["sid"] for m in http.twilio(first["next_page_uri"]).json()["messages"]] == ["SM0"]


def test_a_scheduled_message_gets_its_date_when_it_is_sent() -> None:
    history = [
        ["2026-10-10T08:00:00Z", "scheduled"],
        ["2026-10-10T10:00:00Z", "sent"],
        ["2026-10-10T10:01:00Z", "delivered"],
    ]
    with running(Dataset(twilio_messages=[message(status_history=history)]), now=moment(10, 9)) as sandbox:
        waiting = messages(sandbox)[0]
        assert (waiting["status"], waiting["date_sent"], waiting["price"]) == ("scheduled", None, None)
        assert (waiting["num_segments"], waiting["from"]) == ("0", None)
        assert messages(sandbox, DateSent="2026-10-10") == []
        sandbox.now = moment(10, 10)
        sent = messages(sandbox, DateSent="2026-10-10")[0]
        assert (sent["status"], sent["num_segments"], sent["price"]) == ("sent", "2", None)
        sandbox.now = moment(10, 11)
        assert messages(sandbox) == [message()]


def test_a_call_gets_its_duration_when_it_ends() -> None:
    history = [
        ["2026-10-10T09:59:00Z", "ringing"],
        ["2026-10-10T10:00:00Z", "in-progress"],
        ["2026-10-10T10:05:00Z", "completed"],
    ]
    dataset = Dataset(twilio_calls=[call(status_history=history, price_from="2026-10-10T12:00:00Z")])
    with running(dataset, now=moment(10, 9, 59)) as sandbox:

        def seen() -> tuple[Any, ...]:
            found = Http(sandbox).all_of("Calls.json", "calls")[0]
            return tuple(found[name] for name in ("status", "start_time", "end_time", "duration", "price"))

        start, end = call()["start_time"], call()["end_time"]
        assert seen() == ("ringing", None, None, None, None)
        sandbox.now = moment(10, 10)
        assert seen() == ("in-progress", start, None, None, None)
        sandbox.now = moment(10, 11)
        assert seen() == ("completed", start, end, "300", None)
        sandbox.now = moment(10, 12)
        assert seen() == ("completed", start, end, "300", "-0.06500")


@pytest.mark.parametrize("notes", [{"grows": True}, {}])
def test_the_bucket_of_today_grows_where_the_data_says_so(notes: dict[str, Any]) -> None:
    usage = {
        "date": "2026-10-10",
        "project_id": "proj_a",
        "model": "gpt-5-mini",
        "input_tokens": 1001,
        "input_cached_tokens": 400,
        "input_cache_write_tokens": 0,
        "input_uncached_tokens": 601,
        "output_tokens": 99,
        "num_model_requests": 4,
        "_sandbox": notes,
    }
    start = int(moment(10, 0).timestamp())
    with running(Dataset(openai_usage_completions=[usage]), now=moment(9, 23)) as sandbox:

        def seen() -> list[dict[str, Any]]:
            answer = Http(sandbox).openai("/organization/usage/completions", start_time=start, limit=1)
            found = answer.json()
            return [result for bucket in found["data"] for result in bucket["results"]]

        assert seen() == []
        sandbox.now = moment(10, 12)
        share = (500, 300, 2) if notes else (1001, 601, 4)
        only = seen()[0]
        assert (only["input_tokens"], only["input_uncached_tokens"], only["num_model_requests"]) == share
        sandbox.now = moment(11, 0)
        assert seen()[0]["input_tokens"] == 1001


def test_answers_over_http_are_those_of_the_data_set_at_that_moment(own: Sandbox, own_http: Http) -> None:
    own.now = moment(10, 15)
    expected = own.dataset.at(own.now)
    of_main = {m["sid"]: m for m in expected.twilio_messages if m["account_sid"] == own_http.account}
    found = own_http.all_of("Messages.json", "messages", PageSize=1000)
    assert {m["sid"]: m for m in found} == of_main
    calls = {c["sid"]: c for c in expected.twilio_calls if c["account_sid"] == own_http.account}
    assert {c["sid"]: c for c in own_http.all_of("Calls.json", "calls", PageSize=100)} == calls


def test_records_are_put_and_deleted(own: Sandbox, own_http: Http) -> None:
    one = own_http.all_of("Messages.json", "messages", DateSent="2026-10-10")[0]
    path = f"Messages/{one['sid']}.json"
    own.put("twilio_messages", {**one, "price": "-9.00000"})
    assert own_http.twilio(path).json()["price"] == "-9.00000"
    assert own.delete("twilio_messages", sid=one["sid"]) == 1
    assert own_http.twilio(path).status_code == 404
    control = f"{own.url}/_sandbox/records/twilio_messages"
    assert requests.put(control, json=one, timeout=10).json() == {"put": 1}
    assert own_http.twilio(path).json() == one
    assert requests.put(f"{control}/{one['sid']}", json=[one], timeout=10).json() == {"put": 1}
    assert requests.delete(f"{control}/{one['sid']}", timeout=10).json() == {"deleted": 1}
    costs = f"{own.url}/_sandbox/records/openai_costs?date=2026-10-10"
    assert requests.delete(costs, timeout=10).json()["deleted"] > 1
    assert requests.put(f"{own.url}/_sandbox/records/nonsense", json={}, timeout=10).status_code == 400
    missing = {"openai_costs": ["2026-10-03"]}
    requests.put(f"{own.url}/_sandbox/records/missing_buckets", json=missing, timeout=10)
    assert own.dataset.missing_buckets == missing


def test_the_clock_by_http(own: Sandbox) -> None:
    def set_to(value: object) -> requests.Response:
        return requests.post(f"{own.url}/_sandbox/clock", json={"now": value}, timeout=10)

    assert set_to("2026-10-10T12:00:00").status_code == 200
    assert own.now == moment(10, 12)
    assert requests.get(f"{own.url}/_sandbox", timeout=10).json()["now"] == "2026-10-10T12:00:00+00:00"
    assert set_to("noon").status_code == 400
    assert set_to(None).json()["fixed"] is False
    assert abs((own.now - datetime.now(UTC)).total_seconds()) < 5
