"""One provider, one window: read it, load it, replace what was answered for, and say what was not."""

from __future__ import annotations

import logging
import uuid
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any

import psycopg

from ingestion.config import IngestSettings
from ingestion.database import connect
from ingestion.load.parts import replace_in_parts
from ingestion.load.staging import alive, dataset_name, sweep
from ingestion.load.swap import Swapped, record_run, swap
from ingestion.sources.reading import Reading, SourceSpec, Unit, describe
from ingestion.sources.registry import SOURCES, ReadRequest, Source
from ingestion.windows import Window
from usage_metering.failures import ConfigError
from usage_metering.pii import Hasher

logger = logging.getLogger("metering.ingest")

PROVIDERS: dict[str, SourceSpec] = {name: source.spec for name, source in SOURCES.items()}


@dataclass(frozen=True)
class TableResult:
    """One table's part of a run: rows now stored, records set aside, answered units, days not answered for; and of the answered units
    how many answered with what was stored already, and were left as they are.
    """

    rows: int
    rejected: int
    answered: int
    unanswered: list[date]
    unchanged: int = 0


@dataclass(frozen=True)
class IngestResult:
    """What became of a provider's window.

    Attributes:
        status: ``ok``; ``failed`` (some unit was not answered for); ``skipped`` (no credentials).
        error: one line for people, where failed or skipped.
        moved_days: days outside the window that it changed (they lost a record to it, or a listing says otherwise what was held on
            them); they are marked for building again.
    """

    provider: str
    status: str
    error: str | None
    load_id: str
    tables: dict[str, TableResult] = field(default_factory=dict)
    moved_days: set[date] = field(default_factory=set)


def ingest_provider(
    provider: str,
    window: Window,
    *,
    settings: IngestSettings,
    database_url: str,
    as_of: datetime,
    load_id: str | None = None,
) -> IngestResult:
    """Read ``window`` from ``provider`` and replace in `raw` what it answered for.

    A provider that fails is returned as ``failed``, not raised; what it did answer is in. A database that fails is raised.

    Raises:
        ConfigError: the window reaches past the as-of day.
        psycopg.Error: the database.
    """
    source = SOURCES[provider]
    spec = source.spec
    load_id = load_id or uuid.uuid4().hex[:16]
    started_at = datetime.now(UTC)
    today = as_of.astimezone(UTC).date()
    if window.end > today + timedelta(days=1):
        raise ConfigError(f"{window} reaches past the as-of day {today}: there is nothing to read yet")
    if not settings.credentialed(provider):
        error = f"skipped: set {' and '.join(spec.required_variables)}"
        logger.warning("%s: %s", provider, error)
        with connect(database_url) as connection:
            _record(connection, provider, load_id, window, started_at, "skipped", error)
        return IngestResult(provider, "skipped", error, load_id)

    readable = kept_by(spec, window, today)
    if readable != window:
        logger.warning("%s: keeps %s days; what is stored of the days before stays", provider, spec.retention_days)
    if readable is None:
        with connect(database_url) as connection:
            _record(connection, provider, load_id, window, started_at, "ok", None)
        nothing = {table: _table_result(table, 0, Reading()) for table in spec.tables}
        return IngestResult(provider, "ok", None, load_id, nothing)

    reading = Reading()
    hasher = Hasher(settings.pii_key.get_secret_value())
    with connect(database_url) as connection:
        sweep(connection)
        known = _known(connection, source, readable)
    logger.info("%s: reading %s", provider, readable)
    reader = source.reader(ReadRequest(settings, readable, reading, hasher, known, today))

    def replace(connection: psycopg.Connection, dataset: str, answered: Reading) -> Swapped:
        return swap(
            connection,
            provider=provider,
            spec=spec,
            reading=answered,
            dataset=dataset,
            load_id=load_id,
            as_of_day=today,
            hasher=hasher,
        )

    dataset = dataset_name(provider, load_id)
    with closing(reader.api), alive(dataset, database_url):
        swapped = replace_in_parts(
            source.parts(reader),
            replace,
            reading=reading,
            dataset=dataset,
            database_url=database_url,
        )
    failed = bool(reading.unanswered or reading.errors)
    why = _one_line(reading) if failed else None
    with connect(database_url) as connection:
        _record(connection, provider, load_id, window, started_at, "failed" if failed else "ok", why)
    tables = {
        table: _table_result(table, swapped.rows.get(table, 0), reading, swapped.unchanged.get(table, 0))
        for table in spec.tables
    }
    _log_result(provider, tables, why)
    moved = {day for day in swapped.moved_days if day not in window}
    return IngestResult(provider, "failed" if failed else "ok", why, load_id, tables, moved)


def kept_by(spec: SourceSpec, window: Window, today: date) -> Window | None:
    """Return the part of ``window`` that the provider still keeps; None: nothing of it.

    What lies beyond its retention is not asked for: an empty answer about it would not mean that there was nothing.
    """
    if spec.retention_days is None:
        return window
    start = max(window.start, today - timedelta(days=spec.retention_days))
    return Window(start, window.end) if start < window.end else None


def _known(connection: psycopg.Connection, source: Source, window: Window) -> set[str]:
    if not source.known:
        return set()
    rows = connection.execute(source.known.encode(), {"start": window.start, "end": window.end}).fetchall()
    return {value for (value,) in rows if value}


def _record(
    connection: psycopg.Connection,
    provider: str,
    load_id: str,
    window: Window,
    started_at: datetime,
    status: str,
    error: str | None,
) -> None:
    record_run(
        connection,
        provider=provider,
        load_id=load_id,
        window=(window.start, window.end),
        started_at=started_at,
        status=status,
        error=error,
    )


def _one_line(reading: Reading) -> str:
    what = describe(reading.unanswered) if reading.unanswered else "not everything could be read"
    why = reading.errors[0] if reading.errors else "missing from the answer"
    return f"{why}; {what}; stored rows stay, ask again later"


def _table_result(table: str, rows: int, reading: Reading, unchanged: int = 0) -> TableResult:
    def of(units: Any) -> list[Unit]:
        return [unit for unit in units if unit.table == table]

    return TableResult(
        rows=rows,
        rejected=sum(reading.answered[unit] for unit in of(reading.answered)),
        answered=len(of(reading.answered)),
        unanswered=sorted({unit.usage_date for unit in of(reading.unanswered)}),
        unchanged=unchanged,
    )


def _log_result(provider: str, tables: dict[str, TableResult], error: str | None) -> None:
    rows = ", ".join(f"{table.removeprefix(f'{provider}_')} {result.rows:,}" for table, result in tables.items())
    rejected = sum(result.rejected for result in tables.values())
    logger.info(
        "%s: %s%s",
        provider,
        rows,
        f"; {rejected} records set aside in raw.rejected_records" if rejected else "",
    )
    if error:
        logger.warning("%s: %s", provider, error)
