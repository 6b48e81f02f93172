"""The process of a run is a copy of one that has imported the project, and is ended as Dagster ends its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from dagster._core.definitions.reconstruct import ReconstructableRepository
from dagster._core.execution.api import create_execution_plan
from dagster._core.remote_origin import RegisteredCodeLocationOrigin, RemoteRepositoryOrigin
from dagster._grpc.client import DagsterGrpcClient
from dagster._grpc.types import CancelExecutionRequest, ExecuteExternalJobArgs
from dagster._serdes import deserialize_value

from tests.paths import python_path

# A code location without a project: what its processes have imported is what they were given.
CODE = """
import json, os, sys, threading, time
from pathlib import Path

import dagster as dg

FOLDER = Path(__file__).parent

@dg.op
def tell(context) -> None:
    told = {"parent": os.getppid(), "threads": threading.active_count(), "modules": sorted(sys.modules)}
    (FOLDER / context.run_id).write_text(json.dumps(told))

@dg.op
def wait(context) -> None:
    (FOLDER / context.run_id).write_text("")
    time.sleep(300)

@dg.job(executor_def=dg.in_process_executor)
def telling() -> None:
    tell()

@dg.job(executor_def=dg.in_process_executor)
def waiting() -> None:
    wait()

defs = dg.Definitions(jobs=[telling, waiting])
"""


class Location:
    """A code server and its instance, as the daemon uses them."""

    def __init__(self, folder: Path, instance: dg.DagsterInstance, client: DagsterGrpcClient) -> None:
        self.folder, self.instance, self.client = folder, instance, client
        self.repository = ReconstructableRepository.for_file(str(folder / "code.py"), "defs", str(folder))

    def launch(self, name: str) -> dg.DagsterRun:
        """Launch a job and return its run as it was launched."""
        job = self.repository.get_reconstructable_job(name)
        location = RegisteredCodeLocationOrigin("code")
        origin = RemoteRepositoryOrigin(location, "__repository__").get_job_origin(name)
        run = self.instance.create_run_for_job(
            job_def=job.get_definition(),
            execution_plan=create_execution_plan(job),
            job_code_origin=job.get_python_origin(),
            remote_job_origin=origin,
        )
        arguments = ExecuteExternalJobArgs(job_origin=origin, run_id=run.run_id, instance_ref=self.instance.get_ref())
        result: Any = deserialize_value(self.client.start_run(arguments))
        assert result.success, result
        return run

    def end_of(self, run: dg.DagsterRun) -> dg.DagsterRunStatus:
        """Wait until the run has ended, and return how."""
        status: dg.DagsterRunStatus = until(
            lambda: (now := self.instance.get_run_by_id(run.run_id)) and now.is_finished and now.status
        )
        return status


def until(found: Any, seconds: float = 90) -> Any:
    """Return what ``found`` returns as soon as it is something."""
    deadline = time.monotonic() + seconds
    while not (value := found()):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    return value


@pytest.fixture(scope="module")
def location(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Location]:
    folder = tmp_path_factory.mktemp("location")
    (folder / "code.py").write_text(CODE)
    with dg.DagsterInstance.local_temp(str(folder)) as instance, served(folder) as client:
        yield Location(folder, instance, client)


@contextmanager
def served(folder: Path) -> Iterator[DagsterGrpcClient]:
    """Run the server over ``folder``'s code."""
    address = folder / "address"
    command = [sys.executable, "-m", "orchestration.code_server", "api", "grpc", "--socket", str(address)]
    environment = {**os.environ, "PYTHONPATH": python_path()}
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(
            [*command, "-f", str(folder / "code.py"), "-d", str(folder)],
            env=environment,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    try:
        client = DagsterGrpcClient(socket=str(address))

        def listens() -> bool:
            assert process.poll() is None, (folder / "log").read_text()
            return address.exists()

        until(listens)
        yield client
    finally:
        process.terminate()
        process.wait(30)


def test_a_run_has_imported_the_project_and_none_of_another_run(location: Location) -> None:
    runs = [location.launch("telling") for _ in range(2)]
    assert [location.end_of(run) for run in runs] == [dg.DagsterRunStatus.SUCCESS] * 2
    first, second = (json.loads((location.folder / run.run_id).read_text()) for run in runs)
    assert {"orchestration.definitions", "dlt", "dagster_postgres"} <= set(first["modules"])
    assert first["parent"] == second["parent"]
    assert first == second


def test_a_run_ends_when_it_is_told_to(location: Location) -> None:
    run = location.launch("waiting")
    until((location.folder / run.run_id).exists)
    location.instance.report_run_canceling(run)
    told: Any = deserialize_value(location.client.cancel_execution(CancelExecutionRequest(run_id=run.run_id)))
    assert told.success, told
    assert location.end_of(run) == dg.DagsterRunStatus.CANCELED
