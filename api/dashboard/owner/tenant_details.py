"""`/admin/usage/{tenantId}`: one tenant as the owner sees it."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Path, Request
from starlette.responses import Response

from api.admin import service
from api.admin.endpoints import detail_days
from api.dashboard import paths
from api.dashboard.rendering import render
from api.dashboard.steps import usual_grain
from api.dashboard.usage_charts import usage_chart
from api.dashboard.viewer import RootViewer
from api.forecast.service import usage_forecast
from api.kit.parameters import NO_NUL
from api.kit.periods import DayRange, Month
from api.kit.services import services
from api.usage.service import daily

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
    series = await daily(reader, days, services(request).lookback_days)
    month = Month.of(today)
    return render(
        request,
        view.viewer,
        "owner/tenant_details.html",
        title=f"{body.tenant_name} · Usage & Cost Details",
        body=body,
        forecast=forecast,
        # The totals of days stand in the table of every day.
        chart=usage_chart(series, "cost", usual_grain(days), total_fields=False) if body.by_service else None,
        month=month,
        is_this_month=(days.first, days.last) == (month.first, today),
        today=today,
    )
