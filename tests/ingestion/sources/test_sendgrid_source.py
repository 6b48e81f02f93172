"""SendGrid: the unit is subuser × day; who is asked for, and whose silence is a failure."""

from __future__ import annotations

import logging
from datetime import UTC, date, datetime
from typing import Any

import pytest

from ingestion.windows import Window
from tests.ingestion.ingesting import DAY, FIRST, LAST, WINDOW, Ingest

ONE_DAY = Window.of_days(DAY, DAY)
PARENT, SUBUSERS = "/v3/stats", "/v3/subusers/stats"


def day_of(day: date, *stats: object) -> dict[str, Any]:
    return {"date": day.isoformat(), "stats": list(stats)}


def entry(name: str, requests: object, **metrics: object) -> dict[str, Any]:
    return {"type": "subuser", "name": name, "metrics": {"requests": requests, **metrics}}


def map_subuser(ingest: Ingest, name: str) -> None:
    ingest.query(
        "insert into raw.tenant_resources (tenant_id, provider, resource_type, resource_id)"
        " values ('acme', 'sendgrid', 'subuser', %s)",
        name,
    )


@pytest.mark.usefixtures("by_dlt")
def test_every_subusers_days_arrive(ingest: Ingest) -> None:
    result = ingest.run("sendgrid")
    assert (result.status, result.error) == ("ok", None)
    data = ingest.sandbox.dataset
    assert dict(ingest.query("select usage_date::text, requests from raw.sendgrid_stats")) == {
        record["date"]: record["metrics"]["requests"] for record in data.sendgrid_stats
    }
    found = ingest.query("select account_id, usage_date::text, requests from raw.sendgrid_subuser_stats")
    assert {(name, day): requests for name, day, requests in found} == {
        (record["subuser"], record["date"]): record["metrics"]["requests"] for record in data.sendgrid_subuser_stats
    }


def test_subusers_are_asked_for_ten_at_a_time_from_all_three_lists(ingest: Ingest) -> None:
    listed = {f"listed{number}" for number in range(14)}
    ingest.sandbox.put("sendgrid_subusers", *({"id": n, "username": name} for n, name in enumerate(listed)))
    listed |= {str(subuser["username"]) for subuser in ingest.sandbox.dataset.sendgrid_subusers}
    map_subuser(ingest, "mapped")
    ingest.query(
        "insert into raw.sendgrid_subuser_stats (account_id, usage_date, requests, load_id)"
        " values ('stored', %s, 1, 'x'), ('long_ago', '2026-01-01', 1, 'x')",
        DAY,
    )
    assert ingest.run("sendgrid", ONE_DAY).status == "ok"
    requested = [request.split("&") for request in ingest.sandbox.requests if SUBUSERS in request]
    names = [[part.removeprefix("subusers=") for part in parts if part.startswith("subusers=")] for parts in requested]
    assert max(map(len, names)) <= 10
    assert {name for found in names for name in found} == listed | {"mapped", "stored"}


def test_a_list_of_subusers_is_read_to_its_end_and_one_without_end_is_told(
    ingest: Ingest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ingestion.sources.sendgrid.SUBUSERS_PER_PAGE", 2)
    assert ingest.run("sendgrid", ONE_DAY).tables["sendgrid_subuser_stats"].answered == 6
    names = [{"username": f"u{number}"} for number in range(2)]
    ingest.sandbox.faults.add("/v3/subusers?", status=200, body=names, count=None)
    assert "/v3/subusers" in str(ingest.run("sendgrid", ONE_DAY).error)
    assert len([request for request in ingest.sandbox.requests if "/v3/subusers?" in request]) < 10


def test_zeros_are_an_answer(ingest: Ingest) -> None:
    ingest.run("sendgrid", ONE_DAY)
    (name, *_) = (str(subuser["username"]) for subuser in ingest.sandbox.dataset.sendgrid_subusers)
    ingest.sandbox.delete("sendgrid_subuser_stats", subuser=name, date=DAY.isoformat())
    assert ingest.run("sendgrid", ONE_DAY).status == "ok"
    assert ingest.query("select requests from raw.sendgrid_subuser_stats where account_id = %s", name) == [(0,)]


def test_a_missing_day_and_a_missing_subuser_keep_their_rows(ingest: Ingest) -> None:
    ingest.run("sendgrid")
    before = ingest.stored("sendgrid_subuser_stats")
    names = sorted(str(subuser["username"]) for subuser in ingest.sandbox.dataset.sendgrid_subusers)
    body = [day_of(FIRST, *(entry(name, 1) for name in names[1:]))]
    ingest.sandbox.faults.add(SUBUSERS, status=200, body=body, count=None)
    result = ingest.run("sendgrid")
    assert result.status == "failed"
    assert result.tables["sendgrid_subuser_stats"].answered == len(names) - 1
    assert result.tables["sendgrid_subuser_stats"].unanswered == WINDOW.days()
    assert result.tables["sendgrid_stats"].unanswered == []
    gone = before - ingest.stored("sendgrid_subuser_stats")
    assert len(gone) == len(names) - 1
    assert all(FIRST.isoformat() in line and names[0] not in line for line in gone)


@pytest.mark.parametrize("status", [400, 404])
def test_a_name_that_spoils_its_request_is_asked_for_alone(
    ingest: Ingest, status: int, caplog: pytest.LogCaptureFixture
) -> None:
    map_subuser(ingest, "stranger")
    ingest.sandbox.faults.add("subusers=stranger", status=status, count=None)
    with caplog.at_level(logging.WARNING, logger="metering.ingest"):
        result = ingest.run("sendgrid", ONE_DAY)
    # Nobody owes an answer about a name that only the directory knows.
    assert (result.status, result.tables["sendgrid_subuser_stats"].answered) == ("ok", 6)
    assert "stranger" in caplog.text


@pytest.mark.parametrize("status", [400, 404])
def test_a_listed_name_without_an_answer_is_a_failure(ingest: Ingest, status: int) -> None:
    (name, *_) = sorted(str(subuser["username"]) for subuser in ingest.sandbox.dataset.sendgrid_subusers)
    ingest.sandbox.faults.add(f"subusers={name}", status=status, count=None)
    result = ingest.run("sendgrid", ONE_DAY)
    assert (result.status, result.tables["sendgrid_subuser_stats"].answered) == ("failed", 5)


@pytest.mark.parametrize("status", [403, 404])
def test_a_plan_without_subusers_is_fine(ingest: Ingest, status: int) -> None:
    ingest.sandbox.faults.add("/v3/subusers?", status=status, count=None)
    result = ingest.run("sendgrid", ONE_DAY)
    assert (result.status, result.tables["sendgrid_stats"].rows) == ("ok", 1)
    assert ingest.days("sendgrid_subuser_stats") == {}
    map_subuser(ingest, str(ingest.sandbox.dataset.sendgrid_subusers[0]["username"]))
    assert ingest.run("sendgrid", ONE_DAY).status == "ok"
    assert ingest.days("sendgrid_subuser_stats") == {DAY: 1}


def test_an_account_without_subusers_is_fine(ingest: Ingest) -> None:
    ingest.sandbox.faults.add("/v3/subusers?", status=200, body=[], count=None)
    assert ingest.run("sendgrid", ONE_DAY).status == "ok"


def test_a_unit_that_is_in_the_answer_twice_counts_once(ingest: Ingest) -> None:
    (name, *_) = sorted(str(subuser["username"]) for subuser in ingest.sandbox.dataset.sendgrid_subusers)
    ingest.sandbox.faults.add("/v3/subusers?", status=200, body=[{"username": name}])
    ingest.sandbox.faults.add(SUBUSERS, status=200, body=[day_of(DAY, entry(name, 1), entry(name, 2))])
    ingest.sandbox.faults.add(PARENT, status=200, body=[day_of(DAY, entry("", 3)), day_of(DAY, entry("", 4))])
    assert ingest.run("sendgrid", ONE_DAY).status == "ok"
    assert ingest.query("select requests from raw.sendgrid_subuser_stats") == [(2,)]
    assert ingest.query("select requests from raw.sendgrid_stats") == [(4,)]


@pytest.mark.parametrize(
    ("stats", "reason"),
    [
        ({"metrics": {"requests": "many"}}, "requests: not a whole number"),
        ({"metrics": {"delivered": 1}}, "requests: missing"),
        ({"metrics": [1]}, "metrics: not an object"),
        ("text", "not an object"),
    ],
)
def test_malformed_metrics_are_set_aside(ingest: Ingest, stats: object, reason: str) -> None:
    ingest.sandbox.faults.add(PARENT, status=200, body=[day_of(DAY, stats)])
    result = ingest.run("sendgrid", ONE_DAY)
    assert (result.status, result.tables["sendgrid_stats"].rejected) == ("ok", 1)
    ((found,),) = ingest.query("select reason from raw.rejected_records")
    assert found.startswith(reason)


@pytest.mark.parametrize("body", [{}, [None], [{"date": "x", "stats": []}], [{"date": "2026-11-03"}], [], "text"])
def test_an_answer_that_cannot_be_read_is_no_answer(ingest: Ingest, body: object) -> None:
    ingest.sandbox.faults.add(PARENT, status=200, body=body, count=None)
    result = ingest.run("sendgrid", ONE_DAY)
    assert result.status == "failed"
    assert result.tables["sendgrid_stats"].unanswered == [DAY]


CATEGORIES = "/v3/categories/stats"


def map_category(ingest: Ingest, name: str, since: str | None = None, until: str | None = None) -> None:
    ingest.query(
        "insert into raw.tenant_resources (tenant_id, provider, resource_type, resource_id, valid_from, valid_to)"
        " values ('acme', 'sendgrid', 'category', %s, %s, %s)",
        name,
        since,
        until,
    )


def category_day(day: date, name: str, requests: int) -> dict[str, Any]:
    return {"date": day.isoformat(), "category": name, "metrics": {"requests": requests}}


def test_without_categories_in_the_directory_none_are_asked_for(ingest: Ingest) -> None:
    ingest.sandbox.put("sendgrid_category_stats", category_day(DAY, "nobodys", 5))
    result = ingest.run("sendgrid")
    assert (result.status, result.tables["sendgrid_category_stats"].answered) == ("ok", 0)
    assert not [request for request in ingest.sandbox.requests if CATEGORIES in request]


@pytest.mark.usefixtures("by_dlt")
def test_the_directorys_categories_are_read_ten_at_a_time_for_their_days(ingest: Ingest) -> None:
    for number in range(11):
        map_category(ingest, f"c{number:02}")
    map_category(ingest, "over", until=DAY.isoformat())
    map_category(ingest, "to_come", since="2026-12-01")
    ingest.sandbox.put("sendgrid_category_stats", category_day(DAY, "c00", 5), category_day(DAY, "over", 7))
    result = ingest.run("sendgrid", ONE_DAY)
    assert (result.status, result.tables["sendgrid_category_stats"].answered) == ("ok", 11)
    counts = [request.count("categories=") for request in ingest.sandbox.requests if CATEGORIES in request]
    assert counts == [10, 1]
    found = ingest.query("select account_id, requests from raw.sendgrid_category_stats where requests > 0")
    assert found == [("c00", 5)]


def test_categories_that_are_refused_leave_mail_nobodys_and_what_is_stored(
    ingest: Ingest, caplog: pytest.LogCaptureFixture
) -> None:
    map_category(ingest, "news")
    ingest.sandbox.put("sendgrid_category_stats", category_day(DAY, "news", 5))
    ingest.run("sendgrid", ONE_DAY)
    before = ingest.stored("sendgrid_category_stats")
    ingest.sandbox.faults.add(CATEGORIES, status=403, count=None)
    with caplog.at_level(logging.WARNING, logger="metering.ingest"):
        assert ingest.run("sendgrid", ONE_DAY).status == "ok"
    assert "stays unattributed" in caplog.text
    ingest.sandbox.faults.clear()
    ingest.sandbox.faults.add(CATEGORIES, status=429, count=None)
    assert ingest.run("sendgrid", ONE_DAY).status == "failed"
    assert ingest.stored("sendgrid_category_stats") == before


def test_categories_are_not_asked_for_beyond_what_sendgrid_keeps(ingest: Ingest) -> None:
    map_category(ingest, "news")
    later = datetime(2027, 12, 1, tzinfo=UTC)
    result = ingest.run("sendgrid", Window.of_days(FIRST, LAST), as_of=later)
    assert result.tables["sendgrid_category_stats"].answered == 0
    assert not [request for request in ingest.sandbox.requests if CATEGORIES in request]
