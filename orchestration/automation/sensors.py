"""What starts runs because something has arrived: tracked events, or prices, for days that are built already."""

import hashlib
import os
from collections.abc import Iterator

import dagster as dg

from builds import ledger
from builds.due import ranges_of
from costs import price_changes
from costs.rules.price_versions import version_of
from ingestion.archived import is_archived, months_of
from orchestration.automation.jobs import build_only_keys, rebuild_job
from orchestration.partitions import range_tags, start_date
from usage_metering.clock import as_of


@dg.sensor(
    job=rebuild_job,
    minimum_interval_seconds=60,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Builds the days before today that events, or records of theirs, were brought for since their last build, and only those.",
)
def late_events(context: dg.SensorEvaluationContext) -> Iterator[dg.RunRequest | dg.SkipReason]:
    """Ask for the touched days, a run for each range; the same loads are asked for once.

    A run that fails is not asked for again: the nightly run takes what is still touched. Today is the rolling schedule's. Days of archived
    months wait until somebody restores them; `metering doctor` names them.
    """
    first, today = start_date(), as_of().date()
    touched = ledger.touched_days(os.environ["METERING_DATABASE_URL"])
    archived = months_of(os.environ["METERING_DATABASE_URL"])
    days = [day for day in touched if first <= day < today and not is_archived(day, archived)]
    if not days:
        yield dg.SkipReason("no events for days that are built already")
    for window in ranges_of(days):
        loads = [load for day in window.days() for load in touched[day]]
        digest = hashlib.sha256("\n".join(loads).encode()).hexdigest()[:16]
        yield dg.RunRequest(
            run_key=f"events:{window.start}:{digest}", tags=range_tags(window), asset_selection=build_only_keys()
        )


@dg.sensor(
    job=rebuild_job,
    minimum_interval_seconds=300,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Builds the days whose prices in the price book are not those that they were computed with, and only those.",
)
def changed_prices(context: dg.SensorEvaluationContext) -> Iterator[dg.RunRequest | dg.SkipReason]:
    """Ask for the affected days, a run for each range; once a day for as long as one is left.

    The providers are not asked again. Days of closed months are among them: their marts stay, the difference is booked. Those of archived
    months wait until somebody restores them.
    """
    try:
        rows = price_changes.seed_rows()
    except price_changes.PriceBookUnreadable as error:
        yield dg.SkipReason(str(error))
        return
    first, today = start_date(), as_of().date()
    affected = price_changes.affected_days(os.environ["METERING_DATABASE_URL"], rows)
    archived = months_of(os.environ["METERING_DATABASE_URL"])
    days = [day for day in affected if first <= day <= today and not is_archived(day, archived)]
    if not affected:
        price_changes.adopt(os.environ["METERING_DATABASE_URL"], rows)
    if not days:
        waiting = sorted({f"{day:%Y-%m}" for day in affected if is_archived(day, archived)})
        yield dg.SkipReason(
            f"days of {', '.join(waiting)} have other prices, and are archived: run `metering restore {' '.join(waiting)}`"
            if waiting
            else "every built day has the prices of the price book"
        )
    for window in ranges_of(days):
        yield dg.RunRequest(
            run_key=f"prices:{window}:{version_of(rows)[:16]}:{today}",
            tags=range_tags(window),
            asset_selection=build_only_keys(),
        )
