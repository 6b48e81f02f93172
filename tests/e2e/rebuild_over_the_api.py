"""The operator's rebuild against a real Dagster: launched over the API, followed to its end, and one click is one backfill."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from fastapi.testclient import TestClient

from api.auth.tokens import mint
from api.main import create_app
from tests.e2e.system import System

ROUTE = "/api/admin/usage/rebuild"


def check_rebuild_over_the_api(system: System, url: str, ask: Callable[..., dict[str, Any]], runs_query: str) -> None:
    """Launch a rebuild of three days by the API at Dagster's ``url``, and follow it to its end.

    Args:
        ask: GraphQL of that Dagster.
        runs_query: of a backfill's runs by its id.
    """
    token = mint("root_admin", None, timedelta(hours=1), "a secret for tests that is long enough", subject="kim")
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("METERING_API_OPERATIONS", "true")
        environment.setenv("METERING_DAGSTER_URL", url)
        with TestClient(create_app(), headers={"Authorization": f"Bearer {token}"}) as client:
            launched = client.post(f"{ROUTE}?days=3")
            assert launched.status_code == 202, launched.text
            body = launched.json()
            assert (body["days"], body["firstDay"], body["lastDay"]) == (3, "2026-11-08", "2026-11-10")
            assert (body["launched"], body["requestedBy"]) == (True, "kim")
            assert body["status"] in ("queued", "running")
            again = client.post(f"{ROUTE}?days=3").json()
            assert (again["id"], again["launched"]) == (body["id"], False)

            deadline = time.monotonic() + 300
            seen = set()
            while (progress := client.get(body["statusUrl"]).json())["status"] in ("queued", "running"):
                seen.add(progress["status"])
                assert time.monotonic() < deadline, progress
                time.sleep(0.5)
        assert progress["status"] == "succeeded", progress
        assert "running" in seen
        (run,) = progress["runs"]
        assert (run["status"], run["failedSteps"]) == ("SUCCESS", [])
        assert run["steps"] == run["stepsSucceeded"] > 1
        assert progress["finishedAt"] >= run["finishedAt"] > run["startedAt"] >= progress["requestedAt"]
        runs = ask(runs_query, id=body["id"])["runsOrError"]["results"]
        assert [found["runId"] for found in runs] == [run["id"]]
        # The job, not merely its assets: what the schedules launch is what the button launches.
        names = ask("query($id: ID!) { runOrError(runId: $id) { ... on Run { jobName } } }", id=run["id"])
        assert names["runOrError"]["jobName"] == "rebuild"
    assert system.query("select min(date), max(date) from marts.billing_usage_daily")[0][1].isoformat() == "2026-11-10"
