"""`/admin/usage/{tenantId}`: one tenant as the owner sees it."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Path, Request
from starlette.responses import Response

from api.admin import service
from api.admin.endpoints import detail_days
from api.admin.schemas import DayCost
from api.dashboard import formats, paths
from api.dashboard.charts import Chart, Series, stacked_bars
from api.dashboard.rendering import render
from api.dashboard.viewer import RootViewer
from api.forecast.service import usage_forecast
from api.kit.parameters import NO_NUL
from api.kit.periods import DayRange, Month
from api.kit.services import services

router = APIRouter()

TenantInPath = Annotated[str, Path(alias="tenantId", pattern=NO_NUL)]


@router.get(f"{paths.COSTS}/{{tenantId}}")
async def show_tenant(
    view: RootViewer,
    request: Request,
    tenant_id: TenantInPath,
    days: Annotated[DayRange, Depends(detail_days)],
) -> Response:
    """Show a tenant's costs over a range of days, and what is to come this month."""
    today = services(request).today()
    # As that tenant, although a root admin asks: no more rights than the answer needs.
    reader = services(request).database.tenant(tenant_id)
    body = await service.tenant_detail(reader, days, today)
    forecast = await usage_forecast(reader, today)
    month = Month.of(today)
    return render(
        request,
        view.viewer,
        "owner/tenant_details.html",
        title=f"{body.tenant_name} · Usage & Cost Details",
        body=body,
        forecast=forecast,
        chart=_chart(body.by_day),
        month=month,
        is_this_month=(days.first, days.last) == (month.first, today),
        today=today,
    )


def _chart(by_day: list[DayCost]) -> Chart:
    return stacked_bars(
        "cost",
        "Cost per day",
        "A bar per day; the table “Every day” below has the same figures.",
        [formats.short_day(entry.date) for entry in by_day],
        [
            Series(
                "cost",
                "Cost",
                [None if entry.cost_usd is None else float(entry.cost_usd) for entry in by_day],
                [formats.cents(entry.cost_cents) for entry in by_day],
            )
        ],
        lambda dollars: f"${dollars:,.2f}",
    )
