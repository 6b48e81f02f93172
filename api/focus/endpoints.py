"""HTTP of the FOCUS export of all tenants. A tenant's own is a format of `/api/billing/usage/export`."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request
from starlette.responses import Response, StreamingResponse

from api.auth.access import AllTenants
from api.database import Row
from api.focus import queries
from api.focus.response import DESCRIPTION, focus_response
from api.problems import InvalidInput, documented
from api.responses import stop_if_known
from api.usage.endpoints import Days, FileType

router = APIRouter(tags=["All tenants"], responses=documented(401, 403, 422, 503))


async def only_focus(
    name: Annotated[str, Query(alias="format", description="`focus`.", examples=["focus"])] = "focus",
) -> str:
    if name != "focus":
        raise InvalidInput("format", f"{name} is not available for all tenants: focus is")
    return name


async def all_charges(
    reader: AllTenants, request: Request, days: Days, _: Annotated[str, Depends(only_focus)], file_type: FileType
) -> AsyncIterator[AsyncIterator[Row]]:
    # A dependency, so that the transaction lasts until the last chunk is sent or the client has gone.
    await stop_if_known(request, reader)
    async with reader.stream(queries.ROOT_EXPORT, first_day=days.first, last_day=days.last) as rows:
        yield rows


@router.get("/api/admin/billing/usage/export", response_class=StreamingResponse, responses={200: DESCRIPTION})
async def read_all_charges(
    reader: AllTenants,
    request: Request,
    days: Days,
    file_type: FileType,
    rows: Annotated[AsyncIterator[Row], Depends(all_charges)],
) -> Response:
    """All tenants' charges, and those of nobody, as a FOCUS 1.2 file."""
    return focus_response(request, reader, rows, days, whose="all", file_type=file_type or "csv")
