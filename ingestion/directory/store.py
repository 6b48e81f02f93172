"""The directory's three tables, replaced together."""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

import psycopg
from psycopg import sql

from ingestion.database import connect
from ingestion.directory.history import Version, next_resources, next_versions
from ingestion.directory.parse import Directory, Limit, Resource
from ingestion.load.swap import record_run

LOAD_LOCK = 4_716_201_554_273
# Under which loads of the directory stand among the ingests.
PROVIDER = "directory"

Record = tuple[Any, ...]


@dataclass(frozen=True)
class DirectoryResult:
    """Tenants, resources and limits of the directory; how many stored rows came, went or changed."""

    tenants: int
    resources: int
    limits: int
    changed: int


@dataclass(frozen=True)
class _Table:
    name: str
    columns: tuple[str, ...]
    key: tuple[str, ...]

    def key_of(self, record: Record) -> Record:
        return tuple(record[self.columns.index(column)] for column in self.key)


TENANTS = _Table(
    "tenants",
    ("tenant_id", "name", "plan", "status", "usage_hard_stop_enabled", "valid_from", "valid_to", "webhook_url"),
    ("tenant_id", "valid_from"),
)
RESOURCES = _Table(
    "tenant_resources",
    ("tenant_id", "provider", "resource_type", "resource_id", "resource_hash", "valid_from", "valid_to"),
    ("provider", "resource_type", "resource_id", "valid_from"),
)
LIMITS = _Table(
    "tenant_limits",
    ("tenant_id", "channel", "metric", "monthly_cap", "warning_threshold_pct"),
    ("tenant_id", "channel", "metric"),
)


def store(database_url: str, directory: Directory, as_of_day: date) -> DirectoryResult:
    """Make ``directory`` what the three tables say, in one transaction; loads wait for each other.

    Raises:
        psycopg.Error: the database; nothing was stored.
    """
    with connect(database_url) as connection:
        # First of all: the history is read and written by one load at a time.
        connection.execute("select pg_advisory_xact_lock(%s)", (LOAD_LOCK,))
        stored = [Version(*record) for record in _stored(connection, TENANTS)]
        versions = next_versions(stored, directory.tenants, as_of_day)
        owned = [Resource("", *record) for record in _stored(connection, RESOURCES)]
        resources = next_resources(owned, directory.resources, versions, as_of_day)
        changed = sum(
            (
                _replace(connection, TENANTS, map(_tenant_record, versions)),
                _replace(connection, RESOURCES, map(_resource_record, resources)),
                _replace(connection, LIMITS, map(_limit_record, directory.limits)),
            )
        )
        if changed:
            _note_changes(connection, as_of_day)
    return DirectoryResult(len(directory.tenants), len(directory.resources), len(directory.limits), changed)


def _tenant_record(version: Version) -> Record:
    return (
        version.tenant_id,
        version.name,
        version.plan,
        version.status,
        version.hard_stop,
        version.valid_from,
        version.valid_to,
        version.webhook_url,
    )


def _resource_record(resource: Resource) -> Record:
    return (
        resource.tenant_id,
        resource.provider,
        resource.resource_type,
        resource.resource_id,
        resource.resource_hash,
        resource.valid_from,
        resource.valid_to,
    )


def _limit_record(limit: Limit) -> Record:
    return (limit.tenant_id, limit.channel, limit.metric, limit.monthly_cap, limit.warning_threshold_pct)


def _stored(connection: psycopg.Connection, table: _Table) -> list[Record]:
    query = sql.SQL("select {} from {}").format(_columns(table), sql.Identifier("raw", table.name))
    return connection.execute(query).fetchall()


def _replace(connection: psycopg.Connection, table: _Table, records: Iterable[Record]) -> int:
    """Replace the table's rows and return how many keys have another row than before."""
    before, after = set(_stored(connection, table)), set(records)
    if before == after:
        return 0
    connection.execute(sql.SQL("delete from {}").format(sql.Identifier("raw", table.name)))
    copy = sql.SQL("copy {} ({}) from stdin").format(sql.Identifier("raw", table.name), _columns(table))
    with connection.cursor() as cursor, cursor.copy(copy) as rows:
        for record in sorted(after, key=repr):
            rows.write_row(record)
    return len({table.key_of(record) for record in before ^ after})


def _note_changes(connection: psycopg.Connection, as_of_day: date) -> None:
    """Have the database note what this load changed about closed months, and record the load where it did."""
    load_id = uuid.uuid4().hex[:16]
    noted = connection.execute("select ops.note_directory_changes(%s)", (load_id,)).fetchone()
    if noted is not None and noted[0]:
        record_run(
            connection,
            provider=PROVIDER,
            load_id=load_id,
            window=(as_of_day, as_of_day + timedelta(days=1)),
            started_at=datetime.now(UTC),
            status="ok",
            error=None,
        )


def _columns(table: _Table) -> sql.Composed:
    return sql.SQL(", ").join(map(sql.Identifier, table.columns))
