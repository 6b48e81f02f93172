"""The list of all tenants as CSV (RFC 4180), a chunk at a time."""

from __future__ import annotations

import csv
import io
from collections.abc import AsyncIterator, Mapping
from datetime import datetime
from typing import Any

from starlette.responses import StreamingResponse

from api.admin.schemas import SystemTenant
from api.admin.service import system_tenant
from api.database import Row
from api.periods import Month
from api.usage.export import CHUNK_CHARACTERS, neutralised

# A file has exact money only: whole cents would be a second, worse figure.
HEADER = tuple(name for name in SystemTenant.model_fields if not name.endswith("_cents"))


def cells(tenant: SystemTenant) -> tuple[Any, ...]:
    """Return one line's cells in the order of `HEADER`; what is unknown is an empty cell."""
    kinds = "; ".join(f"{part.quantity} {part.unit}" for part in tenant.unpriced_units)
    figures = set(HEADER) - {"tenant_id", "tenant_name", "plan", "plan_label"}
    return tuple(
        kinds
        if name == "unpriced_units"
        else ""
        if (value := getattr(tenant, name)) is None
        else value
        if name in figures
        else neutralised(value)
        for name in HEADER
    )


async def csv_chunks(rows: AsyncIterator[Row]) -> AsyncIterator[str]:
    """Yield the document in pieces of about `CHUNK_CHARACTERS`."""
    buffer = io.StringIO()
    writer = csv.writer(buffer)
    writer.writerow(HEADER)
    async for row in rows:
        writer.writerow(cells(system_tenant(row)))
        if buffer.tell() > CHUNK_CHARACTERS:
            yield buffer.getvalue()
            buffer.seek(0)
            buffer.truncate()
    yield buffer.getvalue()


def csv_response(
    rows: AsyncIterator[Row], month: Month, headers: Mapping[str, str], data_as_of: datetime | None
) -> StreamingResponse:
    """Answer with the rows as a file to keep, saying how fresh they are."""
    told = {"Data-As-Of": data_as_of.isoformat().replace("+00:00", "Z")} if data_as_of else {}
    return StreamingResponse(
        csv_chunks(rows),
        media_type="text/csv; charset=utf-8",
        headers={
            **headers,
            **told,
            "Content-Disposition": f'attachment; filename="system-usage-{month.key}.csv"',
        },
    )
