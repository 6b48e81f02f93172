"""Usage by day as CSV."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from api.kit import files
from api.kit.database import Row
from api.kit.files import neutralised
from api.kit.money import quantity, usd
from api.kit.periods import DayRange

HEADER = ("date", "channel", "direction", "source", "feature", "count", "estimated_cost")


def file_name(tenant_id: str, days: DayRange) -> str:
    """Return a name that is safe in a header and on every file system."""
    return f"usage-{files.safe_name(tenant_id)}-{days.first.isoformat()}-{days.last.isoformat()}.csv"


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


def csv_chunks(rows: AsyncIterator[Row]) -> AsyncIterator[bytes]:
    """Yield the document in pieces."""
    return files.csv_chunks(HEADER, rows, cells)
