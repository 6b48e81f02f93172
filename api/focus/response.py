"""A FOCUS file as a response that is sent while it is read."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from typing import Any

from fastapi import Request
from starlette.responses import Response, StreamingResponse

from api.database import Reader, Row
from api.focus.export import MEDIA_TYPES, csv_chunks, parquet_chunks
from api.periods import DayRange
from api.responses import caching_headers, etag_of

DESCRIPTION: dict[str, Any] = {
    "description": "FOCUS 1.2: one row per charge (docs/focus.md). Numbers are exact; null is an empty cell of the CSV. "
    "The header `Data-As-Of` is the other routes' dataAsOf.",
    "content": {
        "text/csv": {"schema": {"type": "string"}},
        "application/vnd.apache.parquet": {"schema": {"type": "string", "format": "binary"}},
    },
}


def focus_response(
    request: Request, reader: Reader, rows: AsyncIterator[Row], days: DayRange, *, whose: str, file_type: str
) -> Response:
    """Return the file of ``rows``; ``whose`` is for its name, ``file_type`` csv or parquet."""
    headers = caching_headers(etag_of(request, reader))
    safe = re.sub(r"[^A-Za-z0-9_-]", "_", whose)
    name = f"focus-{safe}-{days.first.isoformat()}-{days.last.isoformat()}.{file_type}"
    headers["Content-Disposition"] = f'attachment; filename="{name}"'
    if reader.data_as_of is not None:
        headers["Data-As-Of"] = reader.data_as_of.isoformat().replace("+00:00", "Z")
    chunks = parquet_chunks(rows) if file_type == "parquet" else csv_chunks(rows)
    return StreamingResponse(chunks, media_type=MEDIA_TYPES[file_type], headers=headers)
