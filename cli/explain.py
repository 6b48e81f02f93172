"""`metering explain` and `metering focus`: what the API answers, on the command line, through the API's own code and role."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Coroutine
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any, TypeVar

from psycopg import OperationalError
from psycopg.errors import UndefinedTable
from psycopg_pool import PoolTimeout
from rfc9457 import Problem
from rich.console import Console
from rich.table import Table

from api.explain import service
from api.explain.service import ExplainQuery
from api.exports import queries
from api.exports.focus_columns import OLDEST, SPECS
from api.exports.focus_file import csv_chunks, parquet_chunks
from api.kit.database import Database
from api.kit.periods import DayRange
from api.settings import Settings, SettingsError
from cli.errors import CommandFailed, UsageError
from cli.options import parse_day
from costs.rules.explain import problems, recompute
from costs.rules.services import CHANNELS
from usage_metering.clock import as_of

T = TypeVar("T")

PAGE = 500
SHOWN_RECORDS = 5


def _with_database(work: Callable[[Database], Coroutine[Any, Any, T]]) -> T:
    """Do ``work`` with the API's database, as its role.

    Raises:
        UsageError: the settings do not allow it.
        CommandFailed: no database, or what was asked for does not exist.
    """
    try:
        url = Settings.model_validate({}).database_url()
    except SettingsError as error:
        raise UsageError(str(error)) from None

    async def run() -> T:
        database = Database(url)
        await database.open()
        try:
            return await work(database)
        finally:
            await database.close()

    try:
        return asyncio.run(run())
    except Problem as problem:
        raise CommandFailed(problem.detail or problem.title) from None
    except UndefinedTable:
        raise CommandFailed("the marts are not built yet: run `metering rebuild` first") from None
    except (OperationalError, PoolTimeout) as error:
        raise CommandFailed(f"the database cannot be queried: {' '.join(str(error).split())}") from None


def days_between(first: str | None, last: str | None) -> DayRange:
    """Return the days of ``--from`` and ``--to``: to today, and 30 in all, by default.

    Raises:
        UsageError: no days, or the wrong way round.
    """
    end = parse_day(last, "--to") if last else as_of().date()
    days = DayRange(parse_day(first, "--from"), end) if first else DayRange.trailing(end, 30)
    if days.first > days.last:
        raise UsageError(f"--from {days.first} is after --to {days.last}")
    return days


def explained(
    tenant: str, day: date, channel: str | None, line: str | None
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Return all lines of a tenant's day as the API answers them, each with all of its records; and what was booked since.

    Raises:
        UsageError: unknown channel.
        CommandFailed: no such tenant or line, or no database.
    """
    if channel is not None and channel not in CHANNELS:
        raise UsageError(f"unknown channel {channel}: use {', '.join(CHANNELS)}")

    async def read(database: Database) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
        reader = database.tenant(tenant)
        lines: list[dict[str, Any]] = []
        cursor = None
        while True:
            page = await service.explanation(reader, ExplainQuery(day, channel, line, PAGE, PAGE, cursor))
            body = json.loads(page.model_dump_json(by_alias=True))
            lines += body["lines"]
            cursor = page.next_cursor
            if cursor is None:
                break
        for one in lines:
            cursor = one["records"]["nextCursor"]
            while cursor is not None:
                page = await service.explanation(reader, ExplainQuery(day, channel, one["lineId"], 1, PAGE, cursor))
                more = json.loads(page.lines[0].records.model_dump_json(by_alias=True))
                one["records"]["items"] += more["items"]
                cursor = one["records"]["nextCursor"] = more["nextCursor"]
        return lines, body["adjustments"]

    return _with_database(read)


def show(
    console: Console, lines: list[dict[str, Any]], adjustments: list[dict[str, Any]], *, check: bool, day: date
) -> int:
    """Print lines and adjustments; with ``check`` recompute each line from its terms. Return how many differ."""
    bad = 0
    adjusted = {booked["channel"] for booked in adjustments}
    for line in lines:
        title = " ".join(
            part
            for part in (line["channel"], line["operation"], line["model"], line["feature"], line["activity"])
            if part
        )
        table = Table(title=f"{title}  ({line['evidence']}, {line['lineId']})", title_justify="left", show_header=False)
        table.add_row("used", f"{line['unitCount']:,} {line['unit']} in {line['requestCount']:,} requests")
        table.add_row("cost, USD", line["estimatedCostUsd"] or f"unpriced: {line['unpricedReason']}")
        if line["formula"] is not None:
            table.add_row("formula", line["formula"])
        if line["priceSet"]:
            table.add_row("price book", f"version {line['priceSet']['version'][:12]}")
            for row in line["priceSet"]["prices"]:
                table.add_row(
                    "", f"{row['priceId']}: {row['unitPriceUsd']} per {row['per']} ({row['source'] or 'no source'})"
                )
        table.add_row("billed, USD", line["billedCostUsd"] or "not known yet")
        for rule in line["attribution"]:
            table.add_row("tenant by", f"{rule['rule']} ({rule['recordCount']}): {rule['description']}")
        if line["settlement"]:
            sums = line["settlement"]
            table.add_row(
                "residual", f"provider {sums['provider']['unitCount']:,} less tracked {sums['tracked']['unitCount']:,}"
            )
        table.add_row("records", f"{line['records']['total']:,}")
        for record in line["records"]["items"][:SHOWN_RECORDS]:
            table.add_row("", f"{record['table']} {record['id']}: {record['unitCount']:,}")
        if check:
            differences = problems(line, day.isoformat(), is_adjusted=line["channel"] in adjusted)
            bad += bool(differences)
            table.add_row(
                "check", "[green]recomputed, equal[/]" if not differences else f"[red]{'; '.join(differences)}[/]"
            )
        console.print(table)
    total = sum((recompute(line) or Decimal(0) for line in lines), Decimal(0))
    console.print(f"{len(lines)} line(s), {total.normalize():f} USD")
    for booked in adjustments:
        console.print(
            f"booked in {booked['bookedMonth']}, since the month was closed ({booked['reason']}): {booked['channel']}"
            f" {booked['unitCount']:+,} units, {booked['costUsd']} USD estimated, {booked['chargedCostUsd']} USD charged"
        )
    return bad


def export_focus(days: DayRange, tenant: str | None, output: Path, spec: str = OLDEST) -> int:
    """Write a FOCUS file of a tenant or of all, by its name CSV or Parquet; return its size in bytes.

    Raises:
        UsageError: the name ends otherwise, or the version is none of `SPECS`.
        CommandFailed: no database.
    """
    writers = {".csv": csv_chunks, ".parquet": parquet_chunks}
    chunks = writers.get(output.suffix)
    if chunks is None:
        raise UsageError(f"{output}: a FOCUS file is .csv or .parquet")
    if spec not in SPECS:
        raise UsageError(f"--spec takes {' or '.join(SPECS)}, not {spec}")

    async def write(database: Database) -> int:
        parameters = {"first_day": days.first, "last_day": days.last}
        if tenant is None:
            source = database.root().stream(queries.focus_of_all(spec), **parameters)
        else:
            source = database.tenant(tenant).stream(queries.focus_of_tenant(spec), **parameters)
        async with source as rows:
            return await _write(output, chunks(rows, spec))

    return _with_database(write)


async def _write(output: Path, chunks: AsyncIterator[bytes]) -> int:
    with output.open("wb") as file:
        async for chunk in chunks:
            file.write(chunk)
    return output.stat().st_size
