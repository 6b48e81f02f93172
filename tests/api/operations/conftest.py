"""A Dagster that answers by GraphQL what a test tells it to, and applications with the operator commands."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from fastapi.testclient import TestClient

from tests.api.conftest import AppStarter

DAYS = [f"2026-11-{day:02}" for day in range(1, 21)]


@dataclass
class FakeDagster:
    """The three questions that the API asks, answered from these fields; what was launched is kept."""

    url: str = ""
    job: str = "rebuild"
    days: list[str] = field(default_factory=lambda: list(DAYS))
    backfills: dict[str, dict[str, Any]] = field(default_factory=dict)
    refusal: str | None = None
    raw: tuple[int, bytes] | None = None
    daemon_is_healthy: bool = True
    launches: list[dict[str, Any]] = field(default_factory=list)

    def answer(self, query: str, variables: dict[str, Any]) -> dict[str, Any]:
        if "launchPartitionBackfill" in query:
            return {"launchPartitionBackfill": self._launch(variables["params"])}
        if "partitionBackfillOrError" in query:
            return {
                "partitionBackfillOrError": self.backfills.get(variables["id"], {}),
                "instance": {
                    "daemonHealth": {
                        "allDaemonStatuses": [
                            {"daemonType": "BACKFILL", "required": True, "healthy": self.daemon_is_healthy},
                            {"daemonType": "SENSOR", "required": False, "healthy": None},
                        ]
                    }
                },
            }
        partitions = {"results": [{"name": day} for day in self.days]}
        sets = {"name": f"{self.job}_partition_set", "pipelineName": self.job, "partitionsOrError": partitions}
        wanted = variables["running"]["statuses"]
        running = [backfill for backfill in self.backfills.values() if backfill["status"] in wanted]
        return {
            "repositoriesOrError": {
                "nodes": [
                    {"name": "elsewhere", "location": {"name": "other"}, "partitionSets": []},
                    {"name": "__repository__", "location": {"name": "orchestration"}, "partitionSets": [sets]},
                ]
            },
            "partitionBackfillsOrError": {"results": running},
        }

    def _launch(self, params: dict[str, Any]) -> dict[str, Any]:
        if self.refusal:
            return {"__typename": self.refusal}
        self.launches.append(params)
        name = f"backfill{len(self.launches)}"
        self.backfills[name] = {
            "id": name,
            "status": "REQUESTED",
            "timestamp": 1_795_176_000.0,
            "endTimestamp": None,
            "tags": params["tags"],
            "runs": [],
        }
        return {"__typename": "LaunchBackfillSuccess", "backfillId": name}


@pytest.fixture
def dagster() -> Iterator[FakeDagster]:
    fake = FakeDagster()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            query = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            status, body = fake.raw or (
                200,
                json.dumps({"data": fake.answer(query["query"], query["variables"])}).encode(),
            )
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        fake.url = f"http://127.0.0.1:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield fake
        server.shutdown()
        thread.join()


OperatorStarter = Callable[..., AbstractContextManager[TestClient]]


@pytest.fixture
def start_operator(start_app: AppStarter, dagster: FakeDagster) -> OperatorStarter:
    """Start an application with the commands: `with start_operator(url) as client`."""

    def start(url: str, **variables: str) -> AbstractContextManager[TestClient]:
        defaults = {"METERING_API_OPERATIONS": "true", "METERING_DAGSTER_URL": dagster.url}
        return start_app(url, **{**defaults, **variables})

    return start
