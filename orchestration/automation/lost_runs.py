"""What ends the runs that nobody works on any more."""

from __future__ import annotations

import json
import os

import dagster as dg
import psycopg

from builds.run_lock import HOLDS_LOCK, is_held

LOST = (
    "The process of this run is gone: it was killed, or its host restarted. What it had committed stays, nothing is"
    " half-written. Launch it again; the nightly run takes its days, too."
)


@dg.sensor(
    minimum_interval_seconds=60,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Marks runs whose process is gone as failed, so that they do not keep a place in the queue.",
)
def lost_runs(context: dg.SensorEvaluationContext) -> dg.SensorResult:
    """Fail the started runs whose lock nobody holds, at this tick and at the one before: a run that is just ending has let go of it."""
    started = context.instance.get_runs(dg.RunsFilter(statuses=[dg.DagsterRunStatus.STARTED], tags=HOLDS_LOCK))
    with psycopg.connect(os.environ["METERING_DATABASE_URL"], autocommit=True, connect_timeout=10) as connection:
        lost = [run for run in started if not is_held(connection, run.run_id)]
    before = set(json.loads(context.cursor)) if context.cursor else set()
    failed = [run for run in lost if run.run_id in before]
    for run in failed:
        context.instance.report_run_failed(run, LOST)
    ended = ", ".join(run.run_id for run in failed)
    return dg.SensorResult(
        skip_reason=f"ended {ended}" if ended else "every started run is alive",
        cursor=json.dumps(sorted(run.run_id for run in lost)),
    )
