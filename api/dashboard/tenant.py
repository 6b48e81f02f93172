"""`/settings/billing-usage`: one tenant's usage and costs, and the same days as CSV."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Annotated, get_args

from anyio import to_thread
from fastapi import APIRouter, Depends, Request
from starlette.responses import Response, StreamingResponse

from api.dashboard import formats, paths
from api.dashboard.rendering import render
from api.dashboard.state import dashboard
from api.dashboard.steps import usual_grain
from api.dashboard.tenant_choice import RANGES, Choice, PageChoice
from api.dashboard.tenant_view import Figures, periods_offered, tenant_page
from api.dashboard.viewer import TenantViewer
from api.exports import queries
from api.exports.usage_csv import csv_chunks, file_name
from api.forecast import service as forecasts
from api.kit.database import Row, TenantReader
from api.kit.files import CSV, file_headers
from api.kit.periods import Granularity
from api.kit.services import services
from api.kit.tenants import require_tenant
from api.usage import service

router = APIRouter(include_in_schema=False)

MEASURES = {"cost": "Cost", "usage": "Usage", "month": "Running total"}
GROUPS = {"channel": "Channel", "feature": "Feature", "source": "Source", "none": "Nothing"}
CSV_PATH = f"{paths.TENANT_PAGE}/usage.csv"
CHART, TABLE = "#over-time", "#by-feature"


async def read_figures(reader: TenantReader, choice: Choice, lookback_days: int) -> Figures:
    """Return the bodies that the page is made of, of one build if builds are further apart than reading takes.

    Raises:
        UnknownObject: there is no such tenant.
    """
    for _ in range(2):
        summary = await service.summary(reader, choice.month, choice.today)
        build = reader.build
        features = await service.features(reader, choice.days)
        daily = await service.daily(reader, choice.days, lookback_days)
        forecast = await forecasts.usage_forecast(reader, choice.today) if choice.is_current else None
        if reader.build == build:
            break
    return Figures(summary, features, daily, forecast)


@router.get(paths.TENANT_PAGE)
async def show_usage(request: Request, view: TenantViewer, choice: PageChoice) -> Response:
    """Show the tenant's page."""
    figures = await read_figures(view.reader, choice, services(request).lookback_days)
    # Drawing takes a while, and others are waiting for their JSON.
    page = await to_thread.run_sync(tenant_page, figures, choice, dashboard(request).labels)
    # What every link of the page keeps; a root admin says whose page it is.
    query = {**choice.query(), "tenantId": view.reader.tenant_id if view.viewer.is_root else None}
    measures = MEASURES if choice.is_month else {key: text for key, text in MEASURES.items() if key != "month"}
    return render(
        request,
        view.viewer,
        "tenant/usage.html",
        title="Usage & Costs",
        page=page,
        choice=choice,
        summary=figures.summary,
        forecast=figures.forecast,
        periods=periods_offered(choice.today, choice.month),
        period_text=_period_text(choice),
        measure_choices=[
            (text, _here(request, query, CHART, by=None if key == "cost" else key), key == choice.by)
            for key, text in measures.items()
        ],
        grain_choices=[
            (
                key.capitalize(),
                _here(request, query, CHART, grain=None if key == usual_grain(choice.days) else key),
                key == choice.grain,
            )
            for key in get_args(Granularity)
        ],
        range_choices=[
            (
                f"{count} days",
                _here(request, query, "", **{**_NO_PERIOD, "days": count}),
                choice.trailing == count,
            )
            for count in RANGES
        ],
        groups=list(GROUPS.items()),
        counted_channels=formats.COUNTED_CHANNELS,
        query=query,
        csv_path=CSV_PATH,
    )


_NO_PERIOD = {"period": None, "from": None, "to": None, "of": None}


def _period_text(choice: Choice) -> str:
    if choice.is_month:
        return f"Billing period: {formats.period(choice.month.first, choice.month.last)}"
    return f"{len(choice.days.days())} days: {formats.period(choice.days.first, choice.days.last)}"


def _here(request: Request, query: Mapping[str, object], anchor: str, **changed: object) -> str:
    """Return the address of this page with another choice, at what it changes."""
    return paths.root_path(request) + paths.link(paths.TENANT_PAGE, {**query, **changed}) + anchor


async def exported_rows(view: TenantViewer, choice: PageChoice) -> AsyncIterator[AsyncIterator[Row]]:
    # A dependency, so that the transaction lasts until the last chunk is sent or the client has gone.
    await require_tenant(view.reader)
    async with view.reader.stream(
        queries.USAGE_OF_TENANT, first_day=choice.days.first, last_day=choice.days.last
    ) as rows:
        yield rows


@router.get(CSV_PATH)
async def download(
    view: TenantViewer, choice: PageChoice, rows: Annotated[AsyncIterator[Row], Depends(exported_rows)]
) -> Response:
    """Send the shown days as CSV: the lines of `/api/billing/usage/export`, for somebody with a cookie and no token."""
    headers = file_headers(file_name(view.reader.tenant_id, choice.days))
    return StreamingResponse(csv_chunks(rows), media_type=CSV, headers=headers)
