"""What the data team's UI does, over GraphQL as the browser does it: lineage, checks, and a backfill that is one run."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from cli.errors import CommandFailed
from ingestion.run import PROVIDERS
from tests.e2e.rebuild_over_the_api import check_rebuild_over_the_api
from tests.e2e.system import ROOT, System
from tests.proof import IS_PROOF

ASSETS = """
{ assetNodes { assetKey { path } groupName kinds owners { ... on TeamAssetOwner { team } } description isMaterializable
  dependencyKeys { path } assetChecksOrError { ... on AssetChecks { checks { name } } } } }
"""
LAUNCH = """
mutation launch($params: LaunchBackfillParams!) { launchPartitionBackfill(backfillParams: $params) {
  __typename ... on LaunchBackfillSuccess { backfillId } ... on PythonError { message } } }
"""
BACKFILL = """
query($id: String!) { partitionBackfillOrError(backfillId: $id) { ... on PartitionBackfill { status error { message } } } }
"""
RUNS = """
query($id: String!) { runsOrError(filter: {tags: [{key: "dagster/backfill", value: $id}]}) {
  ... on Runs { results { runId status tags { key value } } } } }
"""

SCHEDULES = "{ workspaceOrError { ... on Workspace { locationEntries { locationOrLoadError { ... on RepositoryLocation { repositories { schedules { id name } } } } } } } }"
STOP = "mutation($id: String!) { stopRunningSchedule(id: $id) { __typename } }"
LAST_RUN = "{ runsOrError(limit: 1) { ... on Runs { results { runId status } } } }"
AGAIN = """
mutation again($run: String!) { launchRunReexecution(reexecutionParams: {parentRunId: $run, strategy: FROM_FAILURE}) {
  __typename ... on LaunchRunSuccess { run { runId } } ... on PythonError { message } } }
"""
RUN = """
query($id: ID!) { runOrError(runId: $id) { ... on Run { status stepStats { stepKey status } } } }
"""


class Server:
    """GraphQL of a running `dagster dev`."""

    def __init__(self, url: str) -> None:
        self.url = url

    def ask(self, query: str, **variables: object) -> dict[str, Any]:
        """Return the answer's data; fail on errors."""
        body = json.dumps({"query": query, "variables": variables}).encode()
        request = urllib.request.Request(f"{self.url}/graphql", body, {"Content-Type": "application/json"})
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                found = json.loads(answer.read())
        except urllib.error.HTTPError as error:
            pytest.fail(error.read().decode()[:2000])
        assert "errors" not in found, found["errors"]
        return dict(found["data"])


@contextmanager
def dagster_dev(folder: Path) -> Iterator[Server]:
    """Run `dagster dev` as the README says, until its web server answers."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    log = folder / "dagster-dev.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "dagster", "dev", "-p", str(port)],
            cwd=ROOT,
            env=dict(os.environ),
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    url = f"http://127.0.0.1:{port}"
    try:
        deadline = time.monotonic() + 300
        while True:
            assert process.poll() is None, log.read_text()[-3000:]
            assert time.monotonic() < deadline, log.read_text()[-3000:]
            try:
                urllib.request.urlopen(f"{url}/server_info", timeout=5).close()
                break
            except (urllib.error.URLError, OSError):
                time.sleep(0.5)
        yield Server(url)
    finally:
        os.killpg(process.pid, signal.SIGINT)
        with suppress(subprocess.TimeoutExpired):
            process.wait(30)
        # Its code servers are of its group, and outlive it where a shell has told them to ignore SIGINT.
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def stop_schedules(server: Server) -> None:
    """Have nothing launch runs but the test: a tick of the clock may come within it."""
    (entry,) = server.ask(SCHEDULES)["workspaceOrError"]["locationEntries"]
    schedules = [each for found in entry["locationOrLoadError"]["repositories"] for each in found["schedules"]]
    assert schedules
    for schedule in schedules:
        stopped = server.ask(STOP, id=schedule["id"])["stopRunningSchedule"]
        assert stopped["__typename"] == "ScheduleStateResult", (schedule, stopped)


def run_again_from_failure(server: Server) -> None:
    """Re-execute the last run, which has failed, and see it succeed by the one step that had failed."""
    (failed,) = server.ask(LAST_RUN)["runsOrError"]["results"]
    assert failed["status"] == "FAILURE"
    launched = server.ask(AGAIN, run=failed["runId"])["launchRunReexecution"]
    assert launched["__typename"] == "LaunchRunSuccess", launched
    deadline = time.monotonic() + 300
    while (run := server.ask(RUN, id=launched["run"]["runId"])["runOrError"])["status"] not in ("SUCCESS", "FAILURE"):
        assert time.monotonic() < deadline, run
        time.sleep(1)
    assert run["status"] == "SUCCESS", run
    assert run["stepStats"] == [{"stepKey": "source_days", "status": "SUCCESS"}]


@pytest.mark.timeout(1200)
def test_a_failed_run_again_lineage_and_backfills_that_are_one_run(system: System) -> None:
    # One test of four: Dagster takes longer to start than to be asked.
    system.sandbox.faults.add("/Messages.json", status=500, count=None)
    with pytest.raises(CommandFailed, match=r"^twilio: "):
        system.rebuild("2026-11-05", "2026-11-05")
    system.sandbox.faults.clear()
    # Nothing is built: schedules that tick before they are stopped find nothing to do.
    system.execute("update ops.source_days set built_at = null")
    messages_of_the_day = "select count(*) from marts.usage_daily where date = '2026-11-05' and service = 'twilio_sms'"
    assert system.query(messages_of_the_day) == [(0,)]
    with dagster_dev(system.folder) as server:
        stop_schedules(server)
        run_again_from_failure(server)
        assert system.query(messages_of_the_day) > [(0,)]
        statuses = system.query(
            "select provider, array_agg(status order by started_at) from ops.ingest_runs group by 1"
        )
        assert dict(statuses) == {**{provider: ["ok"] for provider in PROVIDERS}, "twilio": ["failed", "ok"]}

        nodes = {tuple(node["assetKey"]["path"]): node for node in server.ask(ASSETS)["assetNodes"]}
        messages, daily = nodes["raw", "twilio_messages"], nodes["marts", "usage_daily"]
        assert messages["isMaterializable"]
        assert messages["groupName"] == "twilio"
        assert {"dlt", "twilio"} <= set(messages["kinds"])
        assert {"path": ["twilio", "messages"]} in messages["dependencyKeys"]
        assert daily["isMaterializable"]
        assert daily["owners"]
        assert daily["description"]
        assert daily["assetChecksOrError"]["checks"]
        assert _reaches(nodes, ("marts", "usage_summary"), ("twilio", "messages"))
        assert not any(
            key[0] in ("staging", "intermediate") and node["isMaterializable"] for key, node in nodes.items()
        )

        check_rebuild_over_the_api(system, server.url, server.ask, RUNS)

        if IS_PROOF:  # the rebuild over the API is such a backfill of three days
            check_backfill(system, server, nodes)


def check_backfill(system: System, server: Server, nodes: dict[tuple[str, ...], dict[str, Any]]) -> None:
    """Backfill days of two months as the UI does, of all assets, and see one run that has built them all."""
    days = ["2026-09-29", "2026-09-30", "2026-10-01", "2026-10-02"]
    launched = server.ask(
        LAUNCH,
        params={
            "partitionNames": days,
            "assetSelection": [{"path": list(key)} for key, node in nodes.items() if node["isMaterializable"]],
        },
    )["launchPartitionBackfill"]
    assert launched["__typename"] == "LaunchBackfillSuccess", launched
    backfill = launched["backfillId"]
    deadline = time.monotonic() + 300
    while (state := server.ask(BACKFILL, id=backfill)["partitionBackfillOrError"])["status"] in (
        "REQUESTED",
        "COMPLETING",
    ):
        assert time.monotonic() < deadline
        time.sleep(1)
    runs = server.ask(RUNS, id=backfill)["runsOrError"]["results"]
    assert state["status"] == "COMPLETED_SUCCESS", (state, runs)
    assert [run["status"] for run in runs] == ["SUCCESS"]
    assert system.query("select count(distinct date) from marts.billing_usage_daily where date < '2026-11-01'") == [
        (len(days),)
    ]


def _reaches(nodes: dict[tuple[str, ...], dict[str, Any]], start: tuple[str, ...], goal: tuple[str, ...]) -> bool:
    seen, open_keys = set(), [start]
    while open_keys:
        key = open_keys.pop()
        if key == goal:
            return True
        if key in seen or key not in nodes:
            continue
        seen.add(key)
        open_keys += [tuple(parent["path"]) for parent in nodes[key]["dependencyKeys"]]
    return False
