"""Usage as CSV (RFC 4180), a chunk at a time."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import AsyncIterator
from typing import Any

from api.database import Row
from api.money import quantity, usd
from api.periods import DayRange

HEADER = ("date", "channel", "direction", "source", "feature", "count", "estimated_cost")
CHUNK_CHARACTERS = 32_768

# What a spreadsheet takes for the start of a formula.
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")


def neutralised(text: str) -> str:
    """Return text that no spreadsheet runs: with a leading apostrophe where it would be a formula."""
    return f"'{text}" if text.startswith(_FORMULA) else text


def file_name(tenant_id: str, days: DayRange) -> str:
    """Return a name that is safe in a header and on every file system."""
    safe = re.sub(r"[^A-Za-z0-9_-]", "_", tenant_id)
    return f"usage-{safe}-{days.first.isoformat()}-{days.last.isoformat()}.csv"


def cells(row: Row) -> tuple[Any, ...]:
    """Return one line's cells; an unpriced cost is an empty cell."""
    return (
        row["date"].isoformat(),
        neutralised(row["channel"]),
        neutralised(row["direction"]),
        neutralised(row["source"]),
        neutralised(row["feature"]),
        quantity(row["unit_count"]),
        usd(row["estimated_cost_cents"]) or "",
    )


async def csv_chunks(rows: AsyncIterator[Row]) -> AsyncIterator[str]:
    """Yield the document in pieces of about `CHUNK_CHARACTERS`."""
    buffer = io.StringIO()
    writer = csv.writer(buffer)
    writer.writerow(HEADER)
    async for row in rows:
        writer.writerow(cells(row))
        if buffer.tell() > CHUNK_CHARACTERS:
            yield buffer.getvalue()
            buffer.seek(0)
            buffer.truncate()
    yield buffer.getvalue()
