"""`metering rebuild`: the Dagster job `rebuild`, run in this process, with its progress in the terminal."""

from __future__ import annotations

import logging
import os
from datetime import timedelta

from rich.console import Console

from api import logs
from cli.errors import CommandFailed, UsageError
from cli.instance import require_migrated
from cli.options import parse_day
from ingestion.windows import Window
from usage_metering.clock import as_of

# More than any history has; subtracting more leaves the calendar.
MOST_DAYS = 36_525


def parse_window(first: str | None, last: str | None, days: int | None) -> Window:
    """Return the window that the options name (both ends included there, half-open here).

    Raises:
        UsageError: no range, two ranges, or days outside METERING_START_DATE … as-of day.
    """
    from orchestration.partitions import start_date

    today = as_of().date()
    if days is not None:
        if first or last:
            raise UsageError("--days and --from/--to exclude each other: give one of them")
        if days < 1:
            raise UsageError(f"--days takes a number of at least 1, not {days}")
        begin, end = max(today - timedelta(days=min(days - 1, MOST_DAYS)), start_date()), today
    elif first:
        begin, end = parse_day(first, "--from"), parse_day(last, "--to") if last else today
    else:
        raise UsageError("no days: give --from 2026-10-01 --to 2026-10-31, or --days 7")
    if begin > end:
        raise UsageError(f"--from {begin} is after --to {end}")
    if end > today:
        raise UsageError(f"--to {end} is after the as-of day {today}: there is nothing to read yet")
    if begin < start_date():
        raise UsageError(
            f"--from {begin} is before METERING_START_DATE {start_date()}: set it earlier, or choose later days"
        )
    return Window.of_days(begin, end)


def run_rebuild(window: Window, only: str | None, *, console: Console) -> None:
    """Run the job over ``window``, then build the days outside it whose events the run has brought records of.

    Raises:
        CommandFailed: one line per provider or step that failed.
        PriceBookError: a price is wrong or missing between two periods; nothing is read or built.
        MonthArchived: a day's month is archived; nothing is read or built.
    """
    import dagster as dg

    from builds import ledger
    from builds.due import ranges_of
    from costs.seeds import check_price_book
    from ingestion.archived import is_archived, months_of, refuse_archived
    from ingestion.config import IngestSettings
    from orchestration.assets.reporting import load_id_of
    from orchestration.automation.jobs import REBUILD, build_only_keys, ingest_only_keys
    from orchestration.definitions import build_definitions
    from orchestration.here import execute_here
    from orchestration.partitions import range_tags, start_date
    from orchestration.resources import hold_connections

    require_migrated(os.environ["METERING_DATABASE_URL"])
    IngestSettings.from_environment()  # says what is missing before anything starts
    check_price_book()
    archived = months_of(os.environ["METERING_DATABASE_URL"])
    refuse_archived(archived, window.days())
    _show_progress(console)
    definitions = build_definitions()
    selection = {"ingest": ingest_only_keys, "build": build_only_keys}[only]() if only else None
    job = definitions.resolve_job_def(REBUILD)

    def run(days: Window, keys: list[dg.AssetKey] | None) -> str:
        result = execute_here(
            job,
            instance,
            assets=keys,
            tags=range_tags(days),
            run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
        )
        if not result.success:
            raise CommandFailed("\n".join(_reasons(result)) or f"run {result.run_id} failed: see the Dagster UI")
        console.print(f"rebuilt {days.start} to {days.end - timedelta(days=1)} (run {result.run_id})")
        return result.run_id

    with dg.DagsterInstance.get() as instance:
        hold_connections(instance)
        run_id = run(window, selection)
        if only is None:
            # A record that came with this run takes its event off another day: until that is built, both days hold it.
            touched = ledger.touched_days(os.environ["METERING_DATABASE_URL"])
            ours = [day for day, loads in touched.items() if load_id_of(run_id) in loads]
            open_days = [
                day for day in ours if start_date() <= day <= as_of().date() and not is_archived(day, archived)
            ]
            for days in ranges_of(open_days):
                run(days, build_only_keys())


def _reasons(result: object) -> list[str]:
    """Return a line per failed step: its own description where it gave one, else the error's first line."""
    lines: list[str] = []
    for event in result.all_events:  # type: ignore[attr-defined]
        if not event.is_step_failure:
            continue
        failure = event.step_failure_data
        if failure.user_failure_data is not None:
            lines += (failure.user_failure_data.description or "").splitlines()
        elif failure.error is not None:
            cause = failure.error.cause or failure.error
            lines.append(f"{event.step_key}: {cause.message.strip().splitlines()[0]}")
    return lines


def _show_progress(console: Console) -> None:
    """Send the rooms' own log lines to the terminal; Dagster's and dbt's stay in the event log."""
    logger = logging.getLogger("metering")
    logger.setLevel(logging.INFO)
    try:
        logger.handlers = [logging.NullHandler() if console.quiet else logs.handler(console.file)]
    except logs.UnknownFormat as error:
        raise UsageError(str(error)) from None
    logger.propagate = False
