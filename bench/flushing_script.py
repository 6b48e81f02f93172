"""One side of `bench.flushing`, run with the sources of either commit: batches of events brought in by a flush and by a COPY, by turns.

It prints, as one JSON object, the COPY's part of the flush's time and of its CPU time: of this process and of PostgreSQL together.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from statistics import median

import psycopg

import bench

bench.__path__.append(str(Path(__file__).parent))  # an older commit's sources may lack the next one

from bench.baseline import postgres_cpu  # noqa: E402
from bench.stage import stage  # noqa: E402
from ingestion.windows import Window  # noqa: E402
from sandbox import Dataset  # noqa: E402
from usage_metering import UsageEvent  # noqa: E402
from usage_metering.spool import Line  # noqa: E402
from usage_metering.store import COLUMNS, Store  # noqa: E402
from warehouse.urls import as_role  # noqa: E402

AS_OF = date(2026, 11, 10)
BATCH = 5_000
COPIED = [name for name in COLUMNS if name not in ("payload_hash", "reservation", "idempotency_key")]
TARGET = "create table if not exists raw.copied (like raw.usage_events including all)"
COPY = f"copy raw.copied ({', '.join(COPIED)}) from stdin"


def main(events: int) -> None:
    """Bring ``events`` events in, batch by batch, both ways."""
    first = AS_OF - timedelta(days=1)
    with stage(Dataset.generate(tenants=6, first=first, last=AS_OF), start=first, as_of=AS_OF) as system:
        system.rebuild(Window.of_days(first, AS_OF))
        store = Store(as_role(system.url, "metering_tracker"))
        with psycopg.connect(system.url) as connection:
            connection.execute(TARGET)
            connection.commit()
            used: dict[str, list[tuple[float, float]]] = {"flush": [], "copy": []}
            for begin in range(0, events, BATCH):
                rows = [_row(number) for number in range(begin, begin + BATCH)]
                lines = [
                    Line("e", int(time.time() * 1000), json.dumps(row, separators=(",", ":")).encode()) for row in rows
                ]
                values = [values_of(row) for row in rows]
                used["flush"].append(_used(system.folder / "pg", lambda lines=lines: store.load(lines)))  # type: ignore[misc]
                used["copy"].append(_used(system.folder / "pg", lambda values=values: copy_rows(connection, values)))  # type: ignore[misc]
        store.close()
    # The first two batches make months, plans and connections.
    ratios = [
        (copy[0] / flush[0], copy[1] / flush[1])
        for flush, copy in zip(used["flush"][2:], used["copy"][2:], strict=True)
    ]
    print(json.dumps({"seconds": median(ratio for ratio, _ in ratios), "CPU": median(ratio for _, ratio in ratios)}))


def _used(data: Path, work: Callable[[], object]) -> tuple[float, float]:
    """Return the seconds and the CPU seconds that ``work`` took."""
    cpu = time.process_time() + postgres_cpu(data)
    started = time.perf_counter()
    work()
    seconds = time.perf_counter() - started
    return seconds, time.process_time() + postgres_cpu(data) - cpu


def _row(number: int) -> dict[str, object]:
    event = UsageEvent.make(
        service="twilio_sms",
        now=datetime(AS_OF.year, AS_OF.month, AS_OF.day, 12, tzinfo=UTC) + timedelta(milliseconds=number),
        tenant_id="acme",
        feature="broadcast",
        external_id=f"SM{number:032x}",
        metadata={"flow": "welcome", "step": number % 7},
    )
    return event.to_row()


def values_of(row: dict[str, object]) -> list[object]:
    """Return an event's row as `copy_rows` takes it."""
    return [json.dumps(row.get(name, {})) if name == "metadata" else row.get(name) for name in COPIED]


def copy_rows(connection: psycopg.Connection, rows: Iterable[Iterable[object]]) -> None:
    """Bring the rows into raw.copied by one COPY, and commit."""
    with connection.cursor() as cursor, cursor.copy(COPY.encode()) as copy:
        for row in rows:
            copy.write_row(row)
    connection.commit()


if __name__ == "__main__":
    main(int(sys.argv[1]))
