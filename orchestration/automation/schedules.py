"""When runs start by themselves: every night what is due, every quarter of an hour today, every hour the alerts."""

import os
from datetime import timedelta

import dagster as dg

from builds import ledger
from builds.due import due_window
from ingestion.archived import months_of
from ingestion.config import IngestSettings
from ingestion.run import PROVIDERS
from ingestion.windows import Window
from orchestration.assets.alerts import USAGE_ALERTS, has_been_built
from orchestration.automation.jobs import rebuild_job
from orchestration.options import default_config
from orchestration.partitions import range_tags, start_date
from usage_metering.clock import as_of


@dg.schedule(
    job=rebuild_job,
    cron_schedule="20 0 * * *",
    execution_timezone="UTC",
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="Yesterday, the lookback before it, and every earlier day not recorded as done, as one run.",
)
def daily(context: dg.ScheduleEvaluationContext) -> dg.RunRequest | dg.SkipReason:
    """Ask for what is due; the run key makes a repeated tick of the same night one run."""
    settings, url = IngestSettings.from_environment(), os.environ["METERING_DATABASE_URL"]
    window = due_window(
        start=start_date(),
        as_of_day=as_of().date(),
        providers=[name for name in PROVIDERS if settings.credentialed(name)],
        states=ledger.day_states(url),
        lookback_days=settings.lookback_days,
        # Nobody else would take days of a build without providers that has failed: their data were built before, by their marks.
        touched=[*ledger.touched_days(url), *ledger.half_made_days(url)],
        archived=months_of(url),
        retention_days={name: spec.retention_days for name, spec in PROVIDERS.items()},
    )
    if window is None:
        return dg.SkipReason("the first partition is today: no day is over yet")
    tick = context.scheduled_execution_time.date().isoformat()
    return dg.RunRequest(run_key=f"daily:{tick}", tags=range_tags(window))


@dg.schedule(
    job=rebuild_job,
    cron_schedule="*/15 * * * *",
    execution_timezone="UTC",
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="Today, so far; if nothing has changed since the last build, the marts are kept.",
)
def rolling(context: dg.ScheduleEvaluationContext) -> dg.RunRequest:
    """Ask for the as-of day."""
    today = as_of().date()
    window = Window(today, today + timedelta(days=1))
    tick = context.scheduled_execution_time.strftime("%Y-%m-%dT%H:%M")
    return dg.RunRequest(
        run_key=f"rolling:{tick}", tags=range_tags(window), run_config=default_config(only_changes=True)
    )


@dg.schedule(
    job=rebuild_job,
    cron_schedule="5 * * * *",
    execution_timezone="UTC",
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="The alerts alone, on the marts as they are: what ends or begins with time, and what could not be sent.",
)
def hourly_alerts(context: dg.ScheduleEvaluationContext) -> dg.RunRequest | dg.SkipReason:
    """Ask for the alerts as of today; nothing is ingested or built."""
    if not has_been_built():
        return dg.SkipReason("nothing has been built yet")
    today = as_of().date()
    tick = context.scheduled_execution_time.strftime("%Y-%m-%dT%H")
    return dg.RunRequest(
        run_key=f"alerts:{tick}",
        tags=range_tags(Window(today, today + timedelta(days=1))),
        asset_selection=[USAGE_ALERTS],
    )
