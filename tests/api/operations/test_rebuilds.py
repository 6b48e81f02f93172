"""Rebuilding days: what is asked of Dagster, what a second click finds, and each way in which Dagster cannot."""

from __future__ import annotations

import threading
from datetime import date

import pytest
from dagster_graphql.schema import create_schema
from graphql import parse, validate

from api.kit.periods import DayRange
from api.kit.problems import DaysNotRebuildable
from api.operations import rebuilds
from api.operations.rebuilds import days_tag, rebuildable
from tests.api.conftest import Headers, bearer
from tests.api.operations.conftest import FakeDagster, OperatorStarter

ROUTE = "/api/admin/usage/rebuild"


def test_no_token_401_and_a_tenant_403(seeded: str, start_operator: OperatorStarter, acme: Headers) -> None:
    with start_operator(seeded) as client:
        for method, path in (("POST", ROUTE), ("GET", f"{ROUTE}/backfill1")):
            assert client.request(method, path).status_code == 401
            assert client.request(method, path, headers=acme).status_code == 403


def test_the_last_days_become_a_backfill_of_the_job(
    seeded: str, start_operator: OperatorStarter, dagster: FakeDagster
) -> None:
    with start_operator(seeded) as client:
        answer = client.post(f"{ROUTE}?days=3", headers=bearer("root_admin", subject="kim"))
    assert answer.status_code == 202, answer.text
    body = answer.json()
    assert answer.headers["location"] == body["statusUrl"] == f"{ROUTE}/backfill1"
    assert body == {
        "dataAsOf": "2026-11-20T11:45:00Z",
        "id": "backfill1",
        "days": 3,
        "firstDay": "2026-11-18",
        "lastDay": "2026-11-20",
        "status": "queued",
        "requestedBy": "kim",
        "requestedAt": "2026-11-20T12:00:00Z",
        "finishedAt": None,
        "url": f"{dagster.url}/runs/b/backfill1",
        "statusUrl": f"{ROUTE}/backfill1",
        "note": "It waits for its turn: two runs at a time, one build at a time.",
        "runs": [],
        "launched": True,
    }
    (launch,) = dagster.launches
    assert launch["selector"] == {
        "partitionSetName": "rebuild_partition_set",
        "repositorySelector": {"repositoryLocationName": "orchestration", "repositoryName": "__repository__"},
    }
    assert launch["partitionNames"] == ["2026-11-18", "2026-11-19", "2026-11-20"]


def test_a_second_click_returns_the_running_one_and_other_days_are_another(
    seeded: str, start_operator: OperatorStarter, dagster: FakeDagster, root: Headers
) -> None:
    with start_operator(seeded) as client:

        def click(query: str = "") -> tuple[str, bool]:
            body = client.post(f"{ROUTE}{query}", headers=root).json()
            return body["id"], body["launched"]

        assert click() == ("backfill1", True)
        assert click("?days=7") == ("backfill1", False)
        assert click("?days=2") == ("backfill2", True)
        dagster.backfills["backfill1"]["status"] = "COMPLETED_SUCCESS"
        assert click() == ("backfill3", True)


def test_clicks_at_the_same_time_launch_one(
    seeded: str, start_operator: OperatorStarter, dagster: FakeDagster, root: Headers
) -> None:
    with start_operator(seeded) as client:
        threads = [threading.Thread(target=client.post, args=(ROUTE,), kwargs={"headers": root}) for _ in range(5)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert len(dagster.launches) == 1


def test_days_before_the_first_partition_are_left_out(
    seeded: str, start_operator: OperatorStarter, dagster: FakeDagster, root: Headers
) -> None:
    dagster.days = ["2026-11-19", "2026-11-20"]
    with start_operator(seeded) as client:
        body = client.post(f"{ROUTE}?days=30", headers=root).json()
    assert (body["days"], body["firstDay"], body["lastDay"]) == (2, "2026-11-19", "2026-11-20")


@pytest.mark.parametrize("days", [["2026-11-01", "2026-11-02"], [], ["2026-11-21"]])
def test_another_today_than_dagster_s_is_409_with_the_remedy(
    seeded: str, start_operator: OperatorStarter, dagster: FakeDagster, root: Headers, days: list[str]
) -> None:
    dagster.days = days
    with start_operator(seeded) as client:
        answer = client.post(ROUTE, headers=root)
    assert answer.status_code == 409
    assert "METERING_AS_OF" in answer.json()["detail"]
    assert not dagster.launches


@pytest.mark.parametrize("days", ["0", "-1", "367", "x", ""])
def test_bad_days_are_422(seeded: str, start_operator: OperatorStarter, root: Headers, days: str) -> None:
    with start_operator(seeded) as client:
        answer = client.post(f"{ROUTE}?days={days}", headers=root)
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["field"] == "days"


def test_each_trouble_at_dagster_is_one_problem_with_the_remedy(
    seeded: str, start_operator: OperatorStarter, dagster: FakeDagster, root: Headers
) -> None:
    def trouble(url: str = dagster.url) -> str:
        with start_operator(seeded, METERING_DAGSTER_URL=url) as client:
            answer = client.post(ROUTE, headers=root)
        assert answer.status_code == 503, answer.text
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.json()["title"] == "Dagster is unavailable"
        return str(answer.json()["detail"])

    assert "METERING_DAGSTER_URL is not set" in trouble("")
    assert "start its web server" in trouble("http://127.0.0.1:1")
    dagster.job = "other"
    assert "no job `rebuild`" in trouble()
    dagster.job = "rebuild"
    dagster.refusal = "UnauthorizedError"
    assert "refused to launch the rebuild (UnauthorizedError)" in trouble()
    dagster.raw = (200, b"<html>a proxy's page</html>")
    assert "is not Dagster" in trouble()
    dagster.raw = (200, b"[1]")
    assert "is not Dagster" in trouble()
    dagster.raw = (400, b'{"errors": [{"message": "secret path"}]}')
    assert "secret" not in trouble()
    assert not dagster.launches


def test_progress_follows_the_run(
    seeded: str, start_operator: OperatorStarter, dagster: FakeDagster, root: Headers
) -> None:
    with start_operator(seeded) as client:
        path = client.post(f"{ROUTE}?days=1", headers=root).json()["statusUrl"]
        backfill = dagster.backfills["backfill1"]

        def progress() -> dict[str, object]:
            answer = client.get(path, headers=root)
            assert answer.status_code == 200, answer.text
            return dict(answer.json())

        dagster.daemon_is_healthy = False
        assert "start `dagster-daemon run`" in str(progress()["note"])
        run = {
            "runId": "r1",
            "status": "STARTED",
            "startTime": 1_795_176_001.5,
            "endTime": None,
            "executionPlan": {"steps": [{"key": "directory"}, {"key": "twilio"}, {"key": "marts"}]},
            "stepStats": [
                {"stepKey": "directory", "status": "SUCCESS"},
                {"stepKey": "twilio", "status": "IN_PROGRESS"},
            ],
        }
        backfill["runs"] = [run]
        found = progress()
        assert (found["status"], found["note"]) == ("running", None)
        assert found["runs"] == [
            {
                "id": "r1",
                "status": "STARTED",
                "url": f"{dagster.url}/runs/r1",
                "steps": 3,
                "stepsSucceeded": 1,
                "failedSteps": [],
                "startedAt": "2026-11-20T12:00:01.500000Z",
                "finishedAt": None,
            }
        ]
        backfill.update(status="COMPLETED_FAILED", endTimestamp=1_795_176_060.0)
        run["stepStats"] = [{"stepKey": "twilio", "status": "FAILURE"}]
        found = progress()
        assert (found["status"], found["finishedAt"]) == ("failed", "2026-11-20T12:01:00Z")
        assert str(found["note"]).startswith("It failed at twilio")
        backfill["status"] = "COMPLETED_SUCCESS"
        assert (progress()["status"], progress()["note"]) == ("succeeded", None)


def test_a_backfill_of_somebody_else_s_is_404(
    seeded: str, start_operator: OperatorStarter, dagster: FakeDagster, root: Headers
) -> None:
    dagster.backfills["theirs"] = {
        "id": "theirs",
        "status": "REQUESTED",
        "tags": [{"key": "metering/rebuild", "value": "x"}],
    }
    with start_operator(seeded) as client:
        assert client.get(f"{ROUTE}/theirs", headers=root).status_code == 404
        assert client.get(f"{ROUTE}/unknown", headers=root).status_code == 404


def test_links_are_the_people_s_address_and_questions_go_to_the_internal_one(
    seeded: str, start_operator: OperatorStarter, dagster: FakeDagster, root: Headers
) -> None:
    variables = {"METERING_DAGSTER_URL": "https://dagster.example", "METERING_DAGSTER_INTERNAL_URL": dagster.url}
    with start_operator(seeded, **variables) as client:
        assert client.post(ROUTE, headers=root).json()["url"] == "https://dagster.example/runs/b/backfill1"


def test_the_questions_are_valid_in_dagster_s_own_schema() -> None:
    schema = create_schema().graphql_schema
    for question in (rebuilds.PLAN, rebuilds.LAUNCH, rebuilds.PROGRESS):
        assert validate(schema, parse(question)) == []


def test_days_are_those_from_the_first_partition_on() -> None:
    wanted = DayRange(date(2026, 11, 1), date(2026, 11, 3))
    assert rebuildable(wanted, ["2026-11-02", "2026-11-03", "2026-11-04"]) == ["2026-11-02", "2026-11-03"]
    assert days_tag(["2026-11-02", "2026-11-03"]) == "2026-11-02/2026-11-03"
    with pytest.raises(DaysNotRebuildable):
        rebuildable(wanted, ["2026-11-02"])
