"""HTTP of the tenant's routes: parameters in, caching, and nothing else."""

from __future__ import annotations

from collections.abc import AsyncIterator
from decimal import Decimal
from typing import Annotated

from fastapi import APIRouter, Depends, Path, Query, Request
from starlette.responses import Response, StreamingResponse

from api.auth.access import NO_NUL, OneTenant
from api.database import Row
from api.focus import queries as focus_queries
from api.focus.export import MEDIA_TYPES
from api.focus.response import focus_response
from api.periods import DayRange, Month, checked_days, parse_day, parse_month, parse_range
from api.problems import InvalidInput, documented
from api.responses import caching_headers, etag_of, json_response, live_json_response, stop_if_known
from api.services import services
from api.usage import queries, service
from api.usage.export import csv_chunks, file_name
from api.usage.schemas import ChannelAccess, DailySeries, FeatureBreakdown, UsageStatus, UsageSummary

router = APIRouter(tags=["Tenant usage"], responses=documented(401, 404, 422, 503))

DEFAULT_RANGE = "30d"
EXPORTS = {"csv": queries.EXPORT, "focus": focus_queries.TENANT_EXPORT}
MAX_UNITS = 10**15


MonthText = Annotated[str, Query(description="`current` or a month, `YYYY-MM`.", examples=["2026-11"])]


async def month_of_period(
    request: Request,
    period: MonthText = "current",
) -> Month:
    return parse_month(period, today=services(request).today(), field="period")


async def range_of_days(
    request: Request,
    first: Annotated[
        str | None, Query(alias="from", description="First day, with `to`.", examples=["2026-11-01"])
    ] = None,
    last: Annotated[
        str | None,
        Query(alias="to", description="Last day, included. Default: today.", examples=["2026-11-20"]),
    ] = None,
    trailing: Annotated[
        str | None,
        Query(alias="range", description="Today and the days before, e.g. `30d`.", examples=["30d"]),
    ] = None,
) -> DayRange:
    today = services(request).today()
    if first is None and last is None:
        return parse_range(DEFAULT_RANGE if trailing is None else trailing, today=today)
    if trailing is not None:
        raise InvalidInput("range", "give either range, or from and to")
    if first is None:
        raise InvalidInput("from", "is missing: to needs it")
    start = parse_day(first, today=today, field="from")
    end = parse_day(last, today=today, field="to") if last is not None else today
    return checked_days(start, end, first_field="from")


Period = Annotated[Month, Depends(month_of_period)]
Days = Annotated[DayRange, Depends(range_of_days)]


@router.get("/api/billing/usage/summary", response_model=UsageSummary)
@router.get("/api/admin/usage/summary", response_model=UsageSummary, description="As /api/billing/usage/summary.")
async def read_summary(reader: OneTenant, request: Request, period: Period) -> Response:
    """What a period's usage, caps, plan and costs are, with the last 30 days."""
    await stop_if_known(request, reader)
    body = await service.summary(reader, period, services(request).today())
    return json_response(request, reader, body)


@router.get("/api/billing/usage/status", response_model=UsageStatus)
async def read_status(reader: OneTenant, request: Request, period: Period) -> Response:
    """What is used so far against the caps, per channel and overall."""
    await stop_if_known(request, reader)
    body = await service.status(reader, period)
    return json_response(request, reader, body)


@router.get("/api/billing/usage/daily", response_model=DailySeries)
@router.get("/api/admin/usage/daily", response_model=DailySeries, description="As /api/billing/usage/daily.")
async def read_daily(reader: OneTenant, request: Request, days: Days) -> Response:
    """Usage per day and channel. Dense: every day, each channel that was used in the range or has a limit."""
    await stop_if_known(request, reader)
    body = await service.daily(reader, days, services(request).lookback_days)
    return json_response(request, reader, body)


@router.get("/api/billing/usage/features", response_model=FeatureBreakdown)
async def read_features(reader: OneTenant, request: Request, period: Period) -> Response:
    """Usage and cost per feature, channel and source, the dearest first."""
    await stop_if_known(request, reader)
    body = await service.features(reader, period)
    return json_response(request, reader, body)


async def export_format(
    name: Annotated[
        str, Query(alias="format", description="`csv`, or `focus` for FOCUS 1.2.", examples=["csv"])
    ] = "csv",
) -> str:
    if name not in EXPORTS:
        raise InvalidInput("format", f"{name} is not available: {' and '.join(EXPORTS)} are")
    return name


async def file_type_of_focus(
    file_type: Annotated[
        str | None, Query(alias="fileType", description="Of a FOCUS export: `csv` or `parquet`.", examples=["csv"])
    ] = None,
) -> str | None:
    if file_type not in (None, *MEDIA_TYPES):
        raise InvalidInput("fileType", f"{file_type} is not available: {' and '.join(MEDIA_TYPES)} are")
    return file_type


ExportFormat = Annotated[str, Depends(export_format)]
FileType = Annotated[str | None, Depends(file_type_of_focus)]


async def export_rows(
    reader: OneTenant, request: Request, days: Days, name: ExportFormat, file_type: FileType
) -> AsyncIterator[AsyncIterator[Row]]:
    # A dependency, so that the transaction lasts until the last chunk is sent or the client has gone.
    if name == "csv" and file_type == "parquet":
        raise InvalidInput("fileType", "parquet is for format=focus")
    await stop_if_known(request, reader)
    await service.require_tenant(reader)
    async with reader.stream(EXPORTS[name], first_day=days.first, last_day=days.last) as rows:
        yield rows


@router.get(
    "/api/billing/usage/export",
    response_class=StreamingResponse,
    responses={
        200: {
            "description": "One line per day, channel, direction, source and feature. `count` is units, "
            "`estimated_cost` exact US dollars, empty where unpriced. The header `Data-As-Of` is the "
            "other routes' dataAsOf. With `format=focus`: FOCUS 1.2, one row per charge (docs/focus.md), as CSV or Parquet.",
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
    rows: Annotated[AsyncIterator[Row], Depends(export_rows)],
) -> Response:
    """Usage as a CSV file, ready for a spreadsheet (cells that would be formulas are neutralised), or as FOCUS."""
    if name == "focus":
        return focus_response(request, reader, rows, days, whose=reader.tenant_id, file_type=file_type or "csv")
    headers = caching_headers(etag_of(request, reader))
    headers["Content-Disposition"] = f'attachment; filename="{file_name(reader.tenant_id, days)}"'
    if reader.data_as_of is not None:
        headers["Data-As-Of"] = reader.data_as_of.isoformat().replace("+00:00", "Z")
    return StreamingResponse(csv_chunks(rows), media_type="text/csv; charset=utf-8", headers=headers)


@router.get("/api/billing/usage/channels/{channel}/access", response_model=ChannelAccess)
async def read_access(
    reader: OneTenant,
    request: Request,
    channel: Annotated[str, Path(pattern=NO_NUL, examples=["sms"])],
    units: Annotated[
        Decimal, Query(gt=0, le=MAX_UNITS, description="How many more units are wanted.", examples=[1])
    ] = Decimal(1),
) -> Response:
    """Whether the tenant may use so many more units of a channel. Reserves nothing."""
    body = await service.access(reader, channel, units, Month.of(services(request).today()))
    return live_json_response(request, body)
