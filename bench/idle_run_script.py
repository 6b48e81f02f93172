"""One side of `bench.idle_run`, run with the sources of either commit: a rolling run in which nothing has changed.

Each run is a process of its own, started as the code server starts it. It prints, as one JSON object, what a run took: CPU seconds of
the process, of PostgreSQL, and seconds on the clock.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from datetime import date, timedelta
from pathlib import Path

import bench

bench.__path__.append(str(Path(__file__).parent))  # an older commit's sources lack the next one

import dagster as dg  # noqa: E402
from dagster._core.definitions.reconstruct import ReconstructableRepository  # noqa: E402
from dagster._core.execution.api import create_execution_plan  # noqa: E402
from dagster._core.instance import DagsterInstance  # noqa: E402
from dagster._grpc.types import ExecuteRunArgs  # noqa: E402
from dagster._serdes import serialize_value  # noqa: E402

from bench.baseline import children_cpu, postgres_cpu  # noqa: E402
from bench.stage import stage  # noqa: E402
from ingestion.windows import Window  # noqa: E402
from orchestration import options  # noqa: E402
from orchestration.partitions import range_tags  # noqa: E402

try:  # before rooms had the names of today: asked first, for today's rooms are installed and answer any process
    from ingestion.sandbox import Dataset
except ImportError:
    from sandbox import Dataset

AS_OF = date(2026, 11, 10)
FIRST = AS_OF - timedelta(days=2)


def rolling_config() -> dict[str, object]:
    """Return what the rolling schedule asks for; before it had the option, a run like any other."""
    try:
        return options.default_config(only_changes=True)
    except (AttributeError, TypeError):
        return {}


def run_once(instance: DagsterInstance, window: Window) -> None:
    """Run the job over ``window`` in a new process, and check that it succeeded."""
    repository = ReconstructableRepository.for_module(
        "orchestration.definitions", "defs", working_directory=os.getcwd()
    )
    job = repository.get_reconstructable_job("rebuild")
    config = rolling_config()
    run = instance.create_run_for_job(
        job_def=job.get_definition(),
        execution_plan=create_execution_plan(job, run_config=config, tags=range_tags(window)),
        run_config=config,
        tags=range_tags(window),
        job_code_origin=job.get_python_origin(),
    )
    arguments = ExecuteRunArgs(job.get_python_origin(), run.run_id, instance.get_ref(), set_exit_code_on_failure=True)
    command = [sys.executable, "-m", "dagster", "api", "execute_run", serialize_value(arguments)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode or not instance.get_run_by_id(run.run_id).is_success:
        raise RuntimeError(f"the run failed:\n{done.stdout[-3000:]}{done.stderr[-3000:]}")


def main(runs: int) -> None:
    """Build three days, run today once more, then ``runs`` times to be measured."""
    found: dict[str, list[float]] = {"process": [], "postgres": [], "seconds": []}
    window = Window(AS_OF, AS_OF + timedelta(days=1))
    with stage(Dataset.generate(tenants=6, first=FIRST, last=AS_OF), start=FIRST, as_of=AS_OF) as system:
        system.rebuild(Window(FIRST, AS_OF + timedelta(days=1)))
        with dg.DagsterInstance.get() as instance:
            for _ in range(1 + runs):
                before, postgres, started = children_cpu(), postgres_cpu(system.folder / "pg"), time.perf_counter()
                run_once(instance, window)
                found["process"].append(children_cpu() - before)
                found["postgres"].append(postgres_cpu(system.folder / "pg") - postgres)
                found["seconds"].append(time.perf_counter() - started)
    print(json.dumps({name: figures[1:] for name, figures in found.items()}))


if __name__ == "__main__":
    main(int(sys.argv[1]))
