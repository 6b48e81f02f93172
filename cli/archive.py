"""`metering archive` and `metering restore`: closed months' records in files, and back."""

from __future__ import annotations

import os
from typing import Annotated

import typer

from cli import environment
from cli.errors import CommandFailed, UsageError
from cli.options import parse_month


def archive(
    months: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[MONTH]…",
            help="Closed months, such as 2026-03; default: all that are older than METERING_RAW_RETENTION_MONTHS.",
        ),
    ] = None,
) -> None:
    """Move closed months' records to Parquet files at METERING_ARCHIVE_URL; marts stay."""
    import psycopg

    from archive import ArchiveError, archive_month, archive_store, months_due, retention_months
    from usage_metering.clock import as_of

    chosen = [parse_month(month, "archive") for month in months or ()]
    retention, store = retention_months(), archive_store()
    url = _prepare()
    if not chosen:
        if retention is None:
            raise UsageError("METERING_RAW_RETENTION_MONTHS is not set, so all is kept: set it, or name months")
        with psycopg.connect(url) as connection:
            chosen, opened = months_due(connection, as_of().date(), retention)
        for month in opened:
            print(f"{month} stays: it is not closed")
    for month in chosen:
        try:
            done = archive_month(url, store, month)
        except ArchiveError as error:
            raise CommandFailed(str(error)) from None
        if done.kept is None:
            print(f"{month} is archived already: {done.rows:,} rows in {done.place}")
        else:
            print(
                f"{month} is archived: {done.rows:,} rows, {done.bytes:,} bytes in {done.place};"
                f" {done.kept:,} stay in raw as well, for other months"
            )
    if not chosen:
        print("no closed month is older than METERING_RAW_RETENTION_MONTHS and not archived")


def restore(
    months: Annotated[list[str], typer.Argument(metavar="MONTH…", help="Archived months, such as 2026-03.")],
) -> None:
    """Bring archived months' records back into the database; the files stay."""
    from archive import ArchiveError, archive_store, restore_month

    chosen = [parse_month(month, "restore") for month in months]
    store = archive_store()
    url = _prepare()
    for month in chosen:
        try:
            done = restore_month(url, store, month)
        except ArchiveError as error:
            raise CommandFailed(str(error)) from None
        if done.rows is None:
            print(f"{month} is not archived: its records are in the database")
            continue
        print(f"{month} is restored: {done.rows:,} rows")
        for table, count in done.differing.items():
            print(f"raw.{table} has other words about {count:,} of its records since: they stay as they are")


def _prepare() -> str:
    from cli.instance import require_migrated

    environment.prepare()
    url = os.environ["METERING_DATABASE_URL"]
    require_migrated(url)
    return url
