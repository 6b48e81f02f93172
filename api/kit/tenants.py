"""The rows of one tenant, or the answer that there is none."""

from __future__ import annotations

from typing import Any

from api.kit import queries
from api.kit.database import Row, TenantReader
from api.kit.problems import UnknownObject


async def tenant_row(reader: TenantReader, query: str, **parameters: Any) -> Row:
    """Return the one row of a query that has a row for each tenant there is.

    Raises:
        UnknownObject: there is no such tenant.
    """
    row = await reader.row(query, **parameters)
    if row is None:
        raise UnknownObject("There is no such tenant.")
    return row


async def require_tenant(reader: TenantReader) -> None:
    """Raise UnknownObject unless the tenant exists."""
    await tenant_row(reader, queries.TENANT_EXISTS)
