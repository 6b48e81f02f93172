"""A FOCUS file as a response that is sent while it is read."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from fastapi import Request
from starlette.responses import Response, StreamingResponse

from api.exports.focus_file import MEDIA_TYPES, csv_chunks, parquet_chunks
from api.kit.database import Reader, Row
from api.kit.files import file_headers, safe_name
from api.kit.periods import DayRange
from api.kit.responses import caching_headers, etag_of

DESCRIPTION: dict[str, Any] = {
    "description": "FOCUS 1.2 or 1.3: one row per charge (docs/focus.md). Numbers are exact; null is an empty cell of the CSV. "
    "The header `Data-As-Of` is the other routes' dataAsOf.",
    "content": {
        "text/csv": {"schema": {"type": "string"}},
        "application/vnd.apache.parquet": {"schema": {"type": "string", "format": "binary"}},
    },
}


def focus_response(
    request: Request,
    reader: Reader,
    rows: AsyncIterator[Row],
    days: DayRange,
    *,
    subject: str,
    file_type: str,
    spec: str,
) -> Response:
    """Return the file of ``rows``, which have the columns of ``spec``; ``subject`` (a tenant, all) is for its name."""
    name = f"focus-{safe_name(subject)}-{days.first.isoformat()}-{days.last.isoformat()}.{file_type}"
    headers = file_headers(name, reader.data_as_of, caching_headers(etag_of(request, reader)))
    chunks = parquet_chunks(rows, spec) if file_type == "parquet" else csv_chunks(rows, spec)
    return StreamingResponse(chunks, media_type=MEDIA_TYPES[file_type], headers=headers)
