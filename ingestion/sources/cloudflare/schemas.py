"""R2's GraphQL groups as Arrow: a group's dimensions and its one measure side by side."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from ingestion.sources.columns import INT32, MalformedRecord, Record, integers, text, timestamps

OPERATIONS_KEY = ("account_id", "usage_date", "bucket", "action_type", "action_status", "response_status")
STORAGE_KEY = ("account_id", "usage_date", "bucket", "measured_at")


def operations_table(records: Sequence[Record], account: str, day: date) -> pa.Table:
    """Return requests by bucket, action and status."""
    dimensions, sums = _parts(records, "dimensions"), _parts(records, "sum")
    return pa.table(
        {
            **_keys(records, account, day),
            "bucket": text(dimensions, "bucketName", default=""),
            "action_type": text(dimensions, "actionType", required=True),
            "action_status": text(dimensions, "actionStatus", default=""),
            "response_status": integers(dimensions, "responseStatusCode", default=0, largest=INT32),
            "requests": integers(sums, "requests", required=True),
        }
    )


def storage_table(records: Sequence[Record], account: str, day: date) -> pa.Table:
    """Return what buckets held at a moment, in bytes."""
    dimensions, maxima = _parts(records, "dimensions"), _parts(records, "max")
    measured = timestamps(dimensions, "datetime")
    if measured.null_count:
        raise MalformedRecord("datetime: missing")
    return pa.table(
        {
            **_keys(records, account, day),
            "bucket": text(dimensions, "bucketName", required=True),
            "measured_at": measured,
            "payload_bytes": integers(maxima, "payloadSize", required=True),
            "metadata_bytes": integers(maxima, "metadataSize", default=0),
            "object_count": integers(maxima, "objectCount"),
            "upload_count": integers(maxima, "uploadCount"),
        }
    )


def combined(tables: Sequence[pa.Table], key: tuple[str, ...], how: str) -> pa.Table:
    """Return one row per key: requests of two parts of a day add up (``sum``), of what was held the larger counts (``max``)."""
    table = pa.concat_tables(tables)
    measures = [name for name in table.column_names if name not in key]
    merged = table.group_by(list(key)).aggregate([(name, how) for name in measures])
    return pa.table(
        {
            name: merged[name if name in key else f"{name}_{how}"].cast(table.schema.field(name).type)
            for name in table.column_names
        }
    )


def within(table: pa.Table, day: date) -> pa.Table:
    """Return the measurements of ``day``, whatever else was sent."""
    return table.filter(pc.equal(table["measured_at"].cast(pa.date32()), pa.scalar(day, pa.date32())))


def _parts(records: Sequence[Record], name: str) -> list[dict[str, Any]]:
    parts = [record.get(name) for record in records]
    if not all(isinstance(part, dict) for part in parts):
        raise MalformedRecord(f"{name}: not an object")
    return [part for part in parts if isinstance(part, dict)]


def _keys(records: Sequence[Record], account: str, day: date) -> dict[str, pa.Array]:
    return {
        "account_id": pa.array([account] * len(records), pa.string()),
        "usage_date": pa.array([day] * len(records), pa.date32()),
    }
