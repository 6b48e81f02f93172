"""Tables as files that are sent while they are read: CSV (RFC 4180) that no spreadsheet runs, and a file's headers."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from datetime import datetime
from typing import Any

from api.kit.database import Row

CSV = "text/csv; charset=utf-8"
CHUNK_CHARACTERS = 32_768

# What a spreadsheet takes for the start of a formula.
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")


def neutralised(text: str) -> str:
    """Return text that no spreadsheet runs: with a leading apostrophe where it would be a formula."""
    return f"'{text}" if text.startswith(_FORMULA) else text


def safe_name(text: str) -> str:
    """Return the text as part of a file's name: safe in a header and on every file system."""
    return re.sub(r"[^A-Za-z0-9_-]", "_", text)


async def csv_chunks(
    header: Iterable[str], rows: AsyncIterator[Row], cells: Callable[[Row], Iterable[Any]]
) -> AsyncIterator[bytes]:
    """Yield the document (UTF-8) in pieces of about `CHUNK_CHARACTERS`; ``cells`` makes a row's line."""
    buffer = io.StringIO()
    writer = csv.writer(buffer)
    writer.writerow(header)
    async for row in rows:
        writer.writerow(cells(row))
        if buffer.tell() > CHUNK_CHARACTERS:
            yield buffer.getvalue().encode()
            buffer.seek(0)
            buffer.truncate()
    yield buffer.getvalue().encode()


def csv_text(header: Iterable[str], lines: Iterable[Iterable[Any]]) -> str:
    """Return a short document whole."""
    buffer = io.StringIO()
    writer = csv.writer(buffer)
    writer.writerow(header)
    writer.writerows(lines)
    return buffer.getvalue()


def file_headers(
    name: str, data_as_of: datetime | None = None, others: Mapping[str, str] | None = None
) -> dict[str, str]:
    """Return the headers of a file to keep, with how fresh its data are where that is known, and ``others``."""
    headers = {"Data-As-Of": data_as_of.isoformat().replace("+00:00", "Z")} if data_as_of else {}
    return {**(others or {}), **headers, "Content-Disposition": f'attachment; filename="{name}"'}
