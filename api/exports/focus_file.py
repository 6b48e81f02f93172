"""FOCUS rows as a file, a piece at a time: memory does not grow with the export."""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from functools import partial
from typing import Any

from api.exports.focus_columns import DECIMAL, INSTANT, OLDEST, TEXT, columns_of
from api.kit import files
from api.kit.database import Row
from api.kit.files import neutralised

ROW_GROUP = 5_000
MEDIA_TYPES = {"csv": files.CSV, "parquet": "application/vnd.apache.parquet"}


def decimal_text(number: Decimal) -> str:
    """Return the exact number with a decimal point, so that a reader that guesses types takes no column for integers."""
    text = f"{number:f}"
    whole, _, fraction = text.partition(".")
    return f"{whole}.{fraction.rstrip('0') or '0'}"


def instant_text(instant: datetime) -> str:
    """Return an instant as FOCUS writes it: ``2026-11-01T00:00:00Z``."""
    return instant.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def cells(row: Row, columns: Sequence[tuple[str, str]]) -> list[str]:
    """Return one line of CSV; null is an empty cell."""
    written = []
    for name, kind in columns:
        value = row[name]
        if value is None:
            written.append("")
        elif kind == DECIMAL:
            written.append(decimal_text(value))
        elif kind == INSTANT:
            written.append(instant_text(value))
        else:
            written.append(neutralised(value))
    return written


def csv_chunks(rows: AsyncIterator[Row], spec: str = OLDEST) -> AsyncIterator[bytes]:
    """Yield the CSV document in pieces."""
    columns = columns_of(spec)
    return files.csv_chunks([name for name, _ in columns], rows, partial(cells, columns=columns))


class _Pieces(io.RawIOBase):
    """What a Parquet writer writes to: it only ever goes forward, so what is written can be sent at once."""

    def __init__(self) -> None:
        self._written: list[bytes] = []
        self._position = 0

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        piece = bytes(data)
        self._written.append(piece)
        self._position += len(piece)
        return len(piece)

    def tell(self) -> int:
        return self._position

    def take(self) -> bytes:
        """Return what was written since the last time."""
        piece = b"".join(self._written)
        self._written.clear()
        return piece


async def parquet_chunks(rows: AsyncIterator[Row], spec: str = OLDEST) -> AsyncIterator[bytes]:
    """Yield the Parquet file, a row group of `ROW_GROUP` rows at a time; decimals are exact, instants UTC."""
    # Imported when the first file is asked for: it would double the time that the API needs to start.
    import pyarrow as pa
    import pyarrow.parquet as pq

    types = {TEXT: pa.string(), DECIMAL: pa.decimal128(38, 18), INSTANT: pa.timestamp("us", tz="UTC")}
    columns = columns_of(spec)
    schema = pa.schema([(name, types[kind]) for name, kind in columns])
    pieces = _Pieces()
    writer = pq.ParquetWriter(pieces, schema, compression="zstd")

    def write(group: Sequence[Row]) -> None:
        values = {name: [row[name] for row in group] for name, _ in columns}
        writer.write_table(pa.table(values, schema=schema))

    group: list[Row] = []
    async for row in rows:
        group.append(row)
        if len(group) == ROW_GROUP:
            # In a thread: others must not wait while a group is compressed.
            await asyncio.to_thread(write, group)
            group = []
            yield pieces.take()
    if group:
        await asyncio.to_thread(write, group)
    writer.close()
    yield pieces.take()
