"""HTTP of the exports: a tenant's usage as CSV or FOCUS, and the charges of all tenants as FOCUS."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request
from starlette.responses import Response, StreamingResponse

from api.auth.access import AllTenants, OneTenant
from api.exports import queries
from api.exports.focus_columns import OLDEST, SPECS
from api.exports.focus_file import MEDIA_TYPES
from api.exports.focus_response import DESCRIPTION, focus_response
from api.exports.usage_csv import csv_chunks, file_name
from api.kit.database import Row
from api.kit.files import CSV, file_headers
from api.kit.parameters import Days
from api.kit.problems import InvalidInput, documented
from api.kit.responses import caching_headers, etag_of, stop_if_known
from api.kit.tenants import require_tenant

tenant_router = APIRouter(tags=["Tenant usage"], responses=documented(401, 404, 422, 503))
root_router = APIRouter(tags=["All tenants"], responses=documented(401, 403, 422, 503))

FORMATS = ("csv", "focus")


async def export_format(
    name: Annotated[str, Query(alias="format", description="`csv`, or `focus` for FOCUS.", examples=["csv"])] = "csv",
) -> str:
    if name not in FORMATS:
        raise InvalidInput("format", f"{name} is not available: {' and '.join(FORMATS)} are")
    return name


async def file_type_of_focus(
    file_type: Annotated[
        str | None, Query(alias="fileType", description="Of a FOCUS export: `csv` or `parquet`.", examples=["csv"])
    ] = None,
) -> str | None:
    if file_type not in (None, *MEDIA_TYPES):
        raise InvalidInput("fileType", f"{file_type} is not available: {' and '.join(MEDIA_TYPES)} are")
    return file_type


async def spec_of_focus(
    spec: Annotated[str, Query(description="Version of a FOCUS export: `1.2` or `1.3`.", examples=["1.3"])] = OLDEST,
) -> str:
    if spec not in SPECS:
        raise InvalidInput("spec", f"FOCUS {spec} is not available: {' and '.join(SPECS)} are")
    return spec


ExportFormat = Annotated[str, Depends(export_format)]
FileType = Annotated[str | None, Depends(file_type_of_focus)]
Spec = Annotated[str, Depends(spec_of_focus)]


async def export_rows(
    reader: OneTenant, request: Request, days: Days, name: ExportFormat, file_type: FileType, spec: Spec
) -> AsyncIterator[AsyncIterator[Row]]:
    # A dependency, so that the transaction lasts until the last chunk is sent or the client has gone.
    if name == "csv" and file_type == "parquet":
        raise InvalidInput("fileType", "parquet needs format=focus")
    if name == "csv" and spec != OLDEST:
        raise InvalidInput("spec", f"{spec} needs format=focus")
    await stop_if_known(request, reader)
    await require_tenant(reader)
    query = queries.focus_of_tenant(spec) if name == "focus" else queries.USAGE_OF_TENANT
    async with reader.stream(query, first_day=days.first, last_day=days.last) as rows:
        yield rows


@tenant_router.get(
    "/api/billing/usage/export",
    summary="Usage as a file",
    response_class=StreamingResponse,
    responses={
        200: {
            "description": "One line per day, channel, direction, source and feature. `count` is units, "
            "`estimated_cost` exact US dollars, empty where unpriced. The header `Data-As-Of` is the "
            "other routes' dataAsOf. With `format=focus`: FOCUS, one row per charge (docs/focus.md), as CSV or Parquet.",
            "content": {
                "application/vnd.apache.parquet": {"schema": {"type": "string", "format": "binary"}},
                "text/csv": {
                    "schema": {"type": "string"},
                    "example": "date,channel,direction,source,feature,count,estimated_cost\r\n"
                    "2026-11-20,sms,outbound,twilio,broadcast,120,0.948\r\n",
                },
            },
        }
    },
)
async def read_export(
    reader: OneTenant,
    request: Request,
    days: Days,
    name: ExportFormat,
    file_type: FileType,
    spec: Spec,
    rows: Annotated[AsyncIterator[Row], Depends(export_rows)],
) -> Response:
    """Usage as a CSV file, ready for a spreadsheet (cells that would be formulas are neutralised), or as FOCUS."""
    if name == "focus":
        return focus_response(
            request, reader, rows, days, subject=reader.tenant_id, file_type=file_type or "csv", spec=spec
        )
    headers = file_headers(
        file_name(reader.tenant_id, days), reader.data_as_of, caching_headers(etag_of(request, reader))
    )
    return StreamingResponse(csv_chunks(rows), media_type=CSV, headers=headers)


async def only_focus(
    name: Annotated[str, Query(alias="format", description="`focus`.", examples=["focus"])] = "focus",
) -> str:
    if name != "focus":
        raise InvalidInput("format", f"{name} is not available for all tenants: focus is")
    return name


async def all_charges(
    reader: AllTenants,
    request: Request,
    days: Days,
    _: Annotated[str, Depends(only_focus)],
    file_type: FileType,
    spec: Spec,
) -> AsyncIterator[AsyncIterator[Row]]:
    # A dependency, so that the transaction lasts until the last chunk is sent or the client has gone.
    await stop_if_known(request, reader)
    async with reader.stream(queries.focus_of_all(spec), first_day=days.first, last_day=days.last) as rows:
        yield rows


@root_router.get(
    "/api/admin/billing/usage/export",
    summary="All tenants' charges as a file",
    response_class=StreamingResponse,
    responses={200: DESCRIPTION},
)
async def read_all_charges(
    reader: AllTenants,
    request: Request,
    days: Days,
    file_type: FileType,
    spec: Spec,
    rows: Annotated[AsyncIterator[Row], Depends(all_charges)],
) -> Response:
    """All tenants' charges, and those of nobody, as a FOCUS file."""
    return focus_response(request, reader, rows, days, subject="all", file_type=file_type or "csv", spec=spec)
