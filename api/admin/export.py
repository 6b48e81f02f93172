"""The list of all tenants as CSV."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from datetime import datetime
from typing import Any

from starlette.responses import StreamingResponse

from api.admin.schemas import SystemTenant
from api.admin.service import system_tenant
from api.kit import files
from api.kit.database import Row
from api.kit.files import neutralised
from api.kit.periods import Month

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


def csv_response(
    rows: AsyncIterator[Row], month: Month, headers: Mapping[str, str], data_as_of: datetime | None
) -> StreamingResponse:
    """Answer with the rows as a file to keep, saying how fresh they are."""
    return StreamingResponse(
        files.csv_chunks(HEADER, rows, lambda row: cells(system_tenant(row))),
        media_type=files.CSV,
        headers=files.file_headers(f"system-usage-{month.key}.csv", data_as_of, headers),
    )
