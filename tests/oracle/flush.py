"""Brings tracked events into a database as a flush must: one transaction, each key once for ever.

It knows the tables' contract and nothing of the tracking package, which has tests of its own.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable

import psycopg
from psycopg.types.json import Jsonb

from tests.oracle.track import Row, payload
from warehouse.urls import as_role

COLUMNS = (
    "event_key", "tenant_id", "service", "operation", "channel", "direction", "source", "feature", "activity",
    "model", "units", "input_tokens", "cached_input_tokens", "cache_write_tokens", "cache_write_1h_tokens", "output_tokens", "external_id", "resource_id",
    "lead_id", "message_id", "flow_execution_id", "metadata", "occurred_at", "received_at",
)  # fmt: skip


def payload_hash(row: Row) -> str:
    text = json.dumps(payload(row), sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()


def flush(database_url: str, rows: Iterable[Row], load_id: str) -> int:
    """Insert the rows in their order, as metering_tracker; returns how many were new.

    A row of a known key is left out; one that says something else is put into raw.rejected_records.
    """
    batch = list(rows)
    firsts: dict[str, Row] = {}
    for row in batch:
        firsts.setdefault(row["event_key"], row)
    months = sorted({row["occurred_at"].date().replace(day=1) for row in batch})
    with psycopg.connect(as_role(database_url, "metering_tracker")) as connection:
        connection.execute("select raw.ensure_usage_event_months(%s)", (months,))
        inserted = connection.execute(
            "insert into raw.usage_event_keys (event_key, payload_hash, usage_date, received_at)"
            " select * from unnest(%s::text[], %s::text[], %s::date[], %s::timestamptz[])"
            " on conflict do nothing returning event_key",
            (
                list(firsts),
                [payload_hash(row) for row in firsts.values()],
                [row["occurred_at"].date() for row in firsts.values()],
                [row["received_at"] for row in firsts.values()],
            ),
        )
        new = {key for (key,) in inserted}
        with connection.cursor() as cursor:
            cursor.executemany(
                f"insert into raw.usage_events ({', '.join(COLUMNS)}, load_id)"
                f" values ({', '.join(['%s'] * (len(COLUMNS) + 1))})",
                [
                    (*(Jsonb(row[c]) if c == "metadata" else row[c] for c in COLUMNS), load_id)
                    for key, row in firsts.items()
                    if key in new
                ],
            )
        _reject(connection, batch, load_id)
        connection.execute("select ops.add_live_usage(%s, %s, '{}')", (load_id, sorted(new)))
    return len(new)


def _reject(connection: psycopg.Connection, batch: list[Row], load_id: str) -> None:
    stored = dict(
        connection.execute(
            "select event_key, payload_hash from raw.usage_event_keys where event_key = any(%s)",
            ([row["event_key"] for row in batch],),
        ).fetchall()
    )
    others = {
        (row["event_key"], digest): row for row in batch if (digest := payload_hash(row)) != stored[row["event_key"]]
    }
    with connection.cursor() as cursor:
        cursor.executemany(
            "insert into raw.rejected_records (table_name, account_id, usage_date, record_key, reason, record, load_id)"
            " values ('usage_events', %s, %s, %s, 'this key was recorded before with other data', %s, %s)",
            [
                (
                    row["tenant_id"],
                    row["occurred_at"].date(),
                    key,
                    Jsonb(json.loads(json.dumps(payload(row), default=str))),
                    load_id,
                )
                for (key, _), row in others.items()
            ],
        )
