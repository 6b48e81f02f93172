"""`/settings/billing-usage`: one tenant's usage and costs, and the same days as CSV."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from datetime import date
from typing import Annotated

from anyio import to_thread
from fastapi import APIRouter, Depends, Query, Request
from starlette.responses import Response, StreamingResponse

from api.dashboard import formats, paths
from api.dashboard.rendering import render
from api.dashboard.tenant_view import Figures, finality, periods_offered, tenant_page
from api.dashboard.viewer import TenantViewer
from api.exports import queries
from api.exports.usage_csv import csv_chunks, file_name
from api.forecast import service as forecasts
from api.kit.database import Row, TenantReader
from api.kit.files import CSV, file_headers
from api.kit.periods import DayRange, Month, parse_month
from api.kit.problems import InvalidInput
from api.kit.services import services
from api.kit.tenants import require_tenant
from api.usage import service

router = APIRouter(include_in_schema=False)

RANGES = (7, 30, 90)
DEFAULT_RANGE = 30
MEASURES = {"cost": "Cost", "usage": "Usage"}
CSV_PATH = f"{paths.TENANT_PAGE}/usage.csv"


async def month_of_page(request: Request, period: Annotated[str, Query()] = "current") -> Month:
    # An empty choice of a form is no filter.
    return parse_month(period or "current", today=services(request).today(), field="period")


async def days_of_page(
    request: Request,
    month: Annotated[Month, Depends(month_of_page)],
    days: Annotated[int, Query()] = DEFAULT_RANGE,
) -> DayRange:
    if days not in RANGES:
        raise InvalidInput("days", f"must be one of {', '.join(map(str, RANGES))}")
    return DayRange.trailing(min(services(request).today(), month.last), days)


async def measure_of_page(by: Annotated[str, Query()] = "cost") -> str:
    if by not in MEASURES:
        raise InvalidInput("by", f"must be one of {', '.join(MEASURES)}")
    return by


ShownMonth = Annotated[Month, Depends(month_of_page)]
ShownDays = Annotated[DayRange, Depends(days_of_page)]


async def read_figures(reader: TenantReader, month: Month, days: DayRange, today: date, lookback_days: int) -> Figures:
    """Return the bodies that the page is made of, of one build if builds are further apart than reading takes.

    Raises:
        UnknownObject: there is no such tenant.
    """
    for _ in range(2):
        summary = await service.summary(reader, month, today)
        build = reader.build
        features = await service.features(reader, month)
        daily = await service.daily(reader, days, lookback_days)
        forecast = await forecasts.usage_forecast(reader, today) if month == Month.of(today) else None
        if reader.build == build:
            break
    return Figures(summary, features, daily, forecast)


@router.get(paths.TENANT_PAGE)
async def show_usage(
    request: Request,
    view: TenantViewer,
    month: ShownMonth,
    days: ShownDays,
    by: Annotated[str, Depends(measure_of_page)],
) -> Response:
    """Show the tenant's page."""
    shared = services(request)
    today = shared.today()
    figures = await read_figures(view.reader, month, days, today, shared.lookback_days)
    # Drawing takes a while, and others are waiting for their JSON.
    page = await to_thread.run_sync(tenant_page, figures, month, today, by)
    # What every link of the page keeps; a root admin says whose page it is.
    query = {
        "period": None if page.is_current else month.key,
        "days": None if len(days.days()) == DEFAULT_RANGE else len(days.days()),
        "by": None if by == "cost" else by,
        "tenantId": view.reader.tenant_id if view.viewer.is_root else None,
    }
    return render(
        request,
        view.viewer,
        "tenant/usage.html",
        title="Usage & Costs",
        page=page,
        summary=figures.summary,
        features=figures.features.features,
        forecast=figures.forecast,
        month=month,
        periods=periods_offered(today, month),
        period_text=formats.period(month.first, month.last),
        days=len(days.days()),
        measure_choices=[(text, _here(request, query, by=key), key == by) for key, text in MEASURES.items()],
        range_choices=[
            (f"{count} days", _here(request, query, days=count), count == len(days.days())) for count in RANGES
        ],
        finality=finality(page),
        counted_channels=formats.COUNTED_CHANNELS,
        query=query,
        csv_path=CSV_PATH,
    )


def _here(request: Request, query: Mapping[str, object], **changed: object) -> str:
    """Return the address of this page with another choice, at the chart."""
    return paths.root_path(request) + paths.link(paths.TENANT_PAGE, {**query, **changed}) + "#daily-chart"


async def exported_rows(view: TenantViewer, days: ShownDays) -> AsyncIterator[AsyncIterator[Row]]:
    # A dependency, so that the transaction lasts until the last chunk is sent or the client has gone.
    await require_tenant(view.reader)
    async with view.reader.stream(queries.USAGE_OF_TENANT, first_day=days.first, last_day=days.last) as rows:
        yield rows


@router.get(CSV_PATH)
async def download(
    view: TenantViewer, days: ShownDays, rows: Annotated[AsyncIterator[Row], Depends(exported_rows)]
) -> Response:
    """Send the shown days as CSV: the lines of `/api/billing/usage/export`, for somebody with a cookie and no token."""
    headers = file_headers(file_name(view.reader.tenant_id, days))
    return StreamingResponse(csv_chunks(rows), media_type=CSV, headers=headers)
