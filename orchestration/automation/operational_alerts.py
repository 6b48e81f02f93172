"""Alerts about the system itself, and the messages that wait: evaluated every minute beside the runs, which may be what fails."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime

import dagster as dg
import psycopg
from dagster._core.storage.asset_check_execution_record import AssetCheckExecutionRecordStatus as CheckStatus

from builds import ledger
from costs import alerts
from costs.alerts.operations import backlog_conditions, of_system, provider_conditions
from costs.alerts.outbox import deliver
from costs.alerts.rules import NAMED
from costs.alerts.senders import AlertSettings
from orchestration.assets.alerts import reasons_to_wait
from orchestration.assets.reporting import load_id_of
from orchestration.automation.proof import nightly_proof
from orchestration.automation.schedules import daily, hourly_alerts, rolling
from orchestration.automation.sensors import changed_prices, late_events
from orchestration.partitions import start_date
from usage_metering.clock import as_of
from usage_metering.settings import spool_folder, tracker_url

STORED = ("provider", "stale_source", "backlog")
OF_RUNS = ("run_failed", "check_failed")
# What starts runs by itself. Whoever starts one by hand is told by what it was started with.
AUTOMATIC = (
    *(("dagster/schedule_name", schedule.name) for schedule in (daily, rolling, hourly_alerts, nightly_proof)),
    *(("dagster/sensor_name", sensor.name) for sensor in (late_events, changed_prices)),
)
NIGHTLY = ("dagster/schedule_name", daily.name)
FINISHED = [dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE]
# These say what another alert says: a provider, drift, a message that waits, a build that failed.
TOLD_OTHERWISE = ("answered", "no_drift", "alerts_are_sent", "taken_in")
# The run's last step fails for the providers that did not answer, and those are told by themselves.
FOR_PROVIDERS = {"source_days"}


@dg.sensor(
    minimum_interval_seconds=60,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Opens and resolves alerts about failed runs and checks, providers, stale sources and backlogs; sends what waits.",
)
def operational_alerts(context: dg.SensorEvaluationContext) -> dg.SensorResult:
    """Evaluate now. Runs and checks are looked at when a run has changed, and hourly: there are hundreds of checks."""
    settings, now = AlertSettings.from_environment(), datetime.now(UTC)
    newest = context.instance.get_run_records(order_by="update_timestamp", limit=1)
    seen = f"{now:%Y-%m-%dT%H}" + "".join(f" {one.dagster_run.run_id} {one.update_timestamp}" for one in newest)
    url = os.environ["METERING_DATABASE_URL"]
    with psycopg.connect(url, autocommit=True, connect_timeout=10) as connection:
        waiting = backlog_conditions(
            connection, now, first_day=start_date(), today=as_of().date(), spool=spool_folder(tracker_url())
        )
        stored = [*provider_conditions(connection, now), *waiting]
        settled = [alerts.settle(connection, STORED, stored, routes=settings.routes())]
        if seen != context.cursor:
            checks = context.repository_def.asset_graph.asset_check_keys if context.repository_def else ()
            of_runs = [*run_conditions(context.instance, url), *check_conditions(context.instance, checks)]
            settled.append(alerts.settle(connection, OF_RUNS, of_runs, routes=settings.routes()))
        delivery = deliver(connection, settings.senders())
    opened, resolved = sum(one.opened for one in settled), sum(one.resolved for one in settled)
    waits = "; ".join(("", *reasons_to_wait(settings, delivery)))
    return dg.SensorResult(
        skip_reason=f"opened {opened}, resolved {resolved}, sent {delivery.sent}{waits}", cursor=seen
    )


def run_conditions(instance: dg.DagsterInstance, database_url: str) -> Iterator[alerts.Condition]:
    """Yield what starts runs and whose newest one failed, until one of it, or the nightly run, succeeds."""
    healed = instance.get_run_records(
        dg.RunsFilter(tags=dict([NIGHTLY]), statuses=[dg.DagsterRunStatus.SUCCESS]), limit=1
    )
    for tag, name in AUTOMATIC:
        newest, before = [
            *instance.get_run_records(dg.RunsFilter(tags={tag: name}, statuses=FINISHED), limit=2),
            None,
            None,
        ][:2]
        if newest is None or newest.dagster_run.status != dg.DagsterRunStatus.FAILURE:
            continue
        run_id, ended = newest.dagster_run.run_id, newest.end_time or newest.update_timestamp.timestamp()
        if any((one.end_time or 0) > ended for one in healed):
            continue
        failures = step_failures(instance, run_id)
        if _is_the_providers(run_id, failures, database_url):
            continue
        again = before is not None and before.dagster_run.status == dg.DagsterRunStatus.FAILURE
        if again and before is not None:
            earlier = before.dagster_run.run_id
            again = not _is_the_providers(earlier, step_failures(instance, earlier), database_url)
        where = " and ".join(failures)
        why = next(iter(failures.values())) if failures else _end_of(instance, run_id)
        yield of_system(
            "run_failed",
            "critical" if again or (tag, name) == NIGHTLY else "warning",
            name,
            f"The run of {name} failed at {datetime.fromtimestamp(ended, UTC):%Y-%m-%d %H:%M} UTC"
            f"{f' in {where}' if where else ''}: {why}",
            {"runId": run_id, "steps": list(failures)},
        )


def _is_the_providers(run_id: str, failures: Mapping[str, str], database_url: str) -> bool:
    """Whether a run failed for providers that did not answer, and for nothing else: that is told as theirs."""
    return failures.keys() == FOR_PROVIDERS and bool(ledger.failures(database_url, load_id_of(run_id)))


def step_failures(instance: dg.DagsterInstance, run_id: str) -> dict[str, str]:
    """Return the failed steps of a run, each with why: our own line, or the error's class alone, whose text may hold anything."""
    failures = {}
    for entry in instance.all_logs(run_id, of_type=dg.DagsterEventType.STEP_FAILURE):
        if (event := entry.dagster_event) is None or event.step_key is None:
            continue
        ours, error = event.step_failure_data.user_failure_data, event.step_failure_data.error
        told = (ours.description or "").splitlines() if ours else []
        failures[event.step_key] = told[0] if told else (error.cls_name if error else None) or "see the run's log"
    return failures


def _end_of(instance: dg.DagsterInstance, run_id: str) -> str:
    ends = instance.all_logs(run_id, of_type=dg.DagsterEventType.RUN_FAILURE)
    lines = [line for entry in ends for line in (entry.message or "").splitlines()[:1]]
    return lines[-1] if lines else "see the run's log"


def check_conditions(instance: dg.DagsterInstance, keys: Iterable[dg.AssetCheckKey]) -> Iterator[alerts.Condition]:
    """Yield the assets of which a check failed when it was last evaluated. One that only was planned since says nothing new."""
    watched = [key for key in sorted(keys, key=str) if key.name not in TOLD_OTHERWISE]
    storage = instance.event_log_storage
    failed: dict[str, list[str]] = {}
    for key, record in storage.get_latest_asset_check_execution_by_key(watched).items():
        if record.status == CheckStatus.PLANNED:
            ended = storage.get_asset_check_execution_history(
                key, limit=1, status={CheckStatus.SUCCEEDED, CheckStatus.FAILED}
            )
            if not ended:
                continue
            record = ended[0]
        if record.status == CheckStatus.FAILED:
            failed.setdefault(".".join(key.asset_key.path), []).append(key.name)
    for asset, names in sorted(failed.items()):
        more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
        yield of_system(
            "check_failed",
            "warning",
            asset,
            f"Checks of {asset} fail: {', '.join(sorted(names)[:NAMED])}{more}",
            {"asset": asset, "checks": sorted(names)},
        )
