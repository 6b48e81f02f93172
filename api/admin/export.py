"""The owner's lists of tenants as CSV."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from datetime import datetime

from starlette.responses import StreamingResponse

from api.admin.schemas import Client, SystemTenant
from api.admin.service import client, system_tenant
from api.kit.body_files import csv_file, header_of
from api.kit.database import Row
from api.kit.periods import Month

HEADER = header_of(SystemTenant)


def csv_response(
    rows: AsyncIterator[Row], month: Month, headers: Mapping[str, str], data_as_of: datetime | None
) -> StreamingResponse:
    """Answer with all tenants of a month as a file to keep."""
    return csv_file(SystemTenant, rows, system_tenant, f"system-usage-{month.key}.csv", headers, data_as_of)


def clients_response(
    rows: AsyncIterator[Row], month: Month, headers: Mapping[str, str], data_as_of: datetime | None
) -> StreamingResponse:
    """Answer with all tenants' costs of a month as a file to keep."""
    return csv_file(Client, rows, client, f"costs-{month.key}.csv", headers, data_as_of)
