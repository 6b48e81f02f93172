"""R2: whole days by GraphQL, errors that come as 200, answers that are cut, and what is too old to be asked for."""

from __future__ import annotations

from collections import defaultdict
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from ingestion.sources import cloudflare
from ingestion.windows import Window
from tests.ingestion.ingesting import AS_OF, DAY, WINDOW, Ingest

OPERATIONS, STORAGE = "r2_operations", "r2_storage"
ONE_DAY = Window.of_days(DAY, DAY)
GRAPHQL = "/client/v4/graphql"


def put_object(time: str = "10:00:00Z", day: date = DAY, **values: Any) -> dict[str, Any]:
    return {
        "bucketName": "b",
        "datetime": f"{day}T{time}",
        "actionType": "PutObject",
        "actionStatus": "success",
        "responseStatusCode": 200,
        "requests": 3,
        **values,
    }


def held(time: str, payload: Any, day: date = DAY, **values: Any) -> dict[str, Any]:
    return {
        "bucketName": "b",
        "datetime": f"{day}T{time}",
        "payloadSize": payload,
        "metadataSize": 5,
        "objectCount": 2,
        **values,
    }


@pytest.fixture
def alone(ingest: Ingest) -> Ingest:
    """An R2 without usage but what a test puts there."""
    ingest.sandbox.dataset.r2_operations.clear()
    ingest.sandbox.dataset.r2_storage.clear()
    return ingest


@pytest.mark.usefixtures("by_dlt")
def test_everything_of_the_window_is_stored_once(ingest: Ingest) -> None:
    result = ingest.run("cloudflare")
    assert (result.status, result.error) == ("ok", None)
    wanted: dict[tuple[str, str, str], int] = defaultdict(int)
    for record in ingest.sandbox.dataset.r2_operations:
        wanted[record["datetime"][:10], record["bucketName"], record["actionType"]] += record["requests"]
    found = ingest.query(
        "select usage_date::text, bucket, action_type, sum(requests)::bigint from raw.r2_operations group by 1, 2, 3"
    )
    assert {row[:3]: row[3] for row in found} == wanted != {}
    stored = ingest.query("select bucket, measured_at, payload_bytes, metadata_bytes from raw.r2_storage")
    assert sorted(stored) == sorted(
        (one["bucketName"], datetime.fromisoformat(one["datetime"]), one["payloadSize"], one["metadataSize"])
        for one in ingest.sandbox.dataset.r2_storage
    )
    before = ingest.stored(OPERATIONS), ingest.stored(STORAGE)
    assert ingest.run("cloudflare").status == "ok"
    assert (ingest.stored(OPERATIONS), ingest.stored(STORAGE)) == before


def test_a_day_begins_and_ends_at_midnight(alone: Ingest) -> None:
    day_before, day_after = DAY - timedelta(days=1), DAY + timedelta(days=1)
    alone.sandbox.put(
        OPERATIONS,
        put_object("23:59:59Z", day_before),
        put_object("00:00:00Z"),
        put_object("23:59:59Z"),
        put_object("00:00:00Z", day_after),
    )
    alone.run("cloudflare", ONE_DAY)
    assert alone.query("select usage_date, requests from raw.r2_operations") == [(DAY, 6)]


@pytest.mark.usefixtures("by_dlt")
def test_measurements_are_kept_as_they_are(alone: Ingest) -> None:
    alone.sandbox.put(STORAGE, held("02:00:00Z", 7_000_000_000), held("10:00:00Z", 9_500_000_000, metadataSize=None))
    alone.run("cloudflare", ONE_DAY)
    assert alone.query(
        "select payload_bytes, metadata_bytes, object_count, upload_count from raw.r2_storage order by 1"
    ) == [
        (7_000_000_000, 5, 2, None),
        (9_500_000_000, 0, 2, None),
    ]


def test_an_answer_that_is_cut_is_asked_for_in_halves(alone: Ingest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cloudflare, "LIMIT", 4)
    alone.sandbox.put(
        OPERATIONS,
        *(
            put_object(f"{hour:02}:00:00Z", actionType=action)
            for hour in range(24)
            for action in ("PutObject", "GetObject", "ListObjects", "HeadObject")[: 1 + hour % 3]
        ),
    )
    alone.sandbox.put(STORAGE, *(held(f"{hour:02}:30:00Z", hour) for hour in range(24)))
    result = alone.run("cloudflare", ONE_DAY)
    assert (result.status, result.tables[STORAGE].rows) == ("ok", 24)
    assert dict(alone.query("select action_type, requests from raw.r2_operations")) == {
        "PutObject": 72,
        "GetObject": 48,
        "ListObjects": 24,
    }


def test_a_day_without_groups_is_an_answer(alone: Ingest) -> None:
    alone.sandbox.put(OPERATIONS, put_object())
    alone.run("cloudflare", ONE_DAY)
    alone.sandbox.dataset.r2_operations.clear()
    result = alone.run("cloudflare", ONE_DAY)
    assert (result.status, alone.days(OPERATIONS)) == ("ok", {})


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        pytest.param({"status": 429, "count": None}, "429", id="throttled"),
        pytest.param(
            {"status": 200, "count": None, "body": {"data": None, "errors": [{"message": "oops"}]}},
            "errors",
            id="error as 200",
        ),
        pytest.param({"cut": "middle", "count": None}, "could not be read", id="cut"),
        pytest.param(
            {"status": 200, "body": {"data": {"viewer": {"accounts": []}}}, "count": None},
            "CLOUDFLARE_ACCOUNT_ID",
            id="no account",
        ),
        pytest.param({"status": 403, "count": None}, "check CLOUDFLARE_API_TOKEN", id="refused"),
    ],
)
def test_a_failure_leaves_the_stored_days(alone: Ingest, fault: dict[str, Any], message: str) -> None:
    alone.sandbox.put(OPERATIONS, put_object())
    alone.run("cloudflare", ONE_DAY)
    alone.sandbox.dataset.r2_operations.clear()
    alone.sandbox.faults.add(GRAPHQL, **fault)
    result = alone.run("cloudflare", ONE_DAY)
    assert (result.status, result.tables[OPERATIONS].unanswered) == ("failed", [DAY])
    assert message in str(result.error)
    assert alone.days(OPERATIONS) == {DAY: 1}


def test_a_wrong_account_is_said_so(alone: Ingest) -> None:
    alone.variables["CLOUDFLARE_ACCOUNT_ID"] = "another"
    result = alone.run("cloudflare", ONE_DAY)
    assert "check CLOUDFLARE_API_TOKEN (Account Analytics: Read) and CLOUDFLARE_ACCOUNT_ID" in str(result.error)


def test_a_malformed_group_is_set_aside(alone: Ingest) -> None:
    alone.sandbox.put(OPERATIONS, put_object(requests="many"), put_object("11:00:00Z", actionType="GetObject"))
    alone.sandbox.put(STORAGE, held("02:00:00Z", None))
    result = alone.run("cloudflare", ONE_DAY)
    assert (result.status, result.tables[OPERATIONS].rejected, result.tables[STORAGE].rejected) == ("ok", 1, 1)
    assert result.tables[OPERATIONS].rows == 1


def test_days_that_r2_no_longer_keeps_whole_are_not_asked_for_and_stay(alone: Ingest) -> None:
    oldest = AS_OF.date() - timedelta(days=30)
    for day in (oldest - timedelta(days=1), oldest):
        alone.sandbox.put(OPERATIONS, put_object(day=day))
    alone.query(
        "insert into raw.r2_operations (account_id, usage_date, bucket, action_type, action_status, response_status, requests, load_id)"
        " values (%s, %s, 'b', 'PutObject', 'success', 200, 99, 'test')",
        alone.sandbox.environment()["CLOUDFLARE_ACCOUNT_ID"],
        oldest - timedelta(days=1),
    )
    result = alone.run("cloudflare", Window.of_days(oldest - timedelta(days=1), oldest))
    assert result.status == "ok"
    assert alone.query("select usage_date, requests from raw.r2_operations order by 1") == [
        (oldest - timedelta(days=1), 99),
        (oldest, 3),
    ]
    assert datetime.combine(oldest, datetime.min.time(), UTC) > AS_OF - timedelta(days=31)
    assert WINDOW.days()
