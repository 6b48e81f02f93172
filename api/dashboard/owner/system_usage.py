"""`/admin/system-usage`: all tenants in a month, and the same list as a file."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Request
from starlette.responses import Response

from api.admin import export, service
from api.admin.daily import system_daily
from api.admin.endpoints import tenant_list
from api.admin.service import DEFAULT_SORT, TenantList
from api.dashboard import paths
from api.dashboard.owner.listing import ListPage, months, ways
from api.dashboard.owner_charts import months_chart, system_chart
from api.dashboard.rendering import render
from api.dashboard.viewer import RootViewer
from api.kit.database import Row
from api.kit.periods import Month
from api.kit.services import services

router = APIRouter()

EXPORT = f"{paths.SYSTEM_USAGE}/export"
HIGH_AI_SHARE = 30
NEAR_OR_OVER = ("over_cap", "warning")

By = Literal["provider", "tenant", "month"]
Selection = Annotated[TenantList, Depends(tenant_list)]


def query_of(selection: TenantList, this_month: Month) -> dict[str, str | None]:
    """Return the list's parameters as its addresses have them, without those that are the default."""
    return {
        "period": None if selection.month == this_month else selection.month.key,
        "plan": ",".join(selection.plans or ()),
        "status": ",".join(selection.statuses or ()),
        "minAiSharePercent": None if selection.min_ai_share is None else f"{selection.min_ai_share:f}",
        "search": selection.search,
        "sort": None if selection.sort == DEFAULT_SORT else selection.sort,
        "order": None if selection.descending else "asc",
        "limit": None if selection.limit == TenantList.__dataclass_fields__["limit"].default else str(selection.limit),
    }


@router.get(paths.SYSTEM_USAGE)
async def show_system_usage(
    view: RootViewer, request: Request, selection: Selection, at: ListPage, by: By = "provider"
) -> Response:
    """Show a page of all tenants, the first of them with a chart of what all of them cost by day."""
    today = services(request).today()
    body = await service.system_summary(view.reader, selection)
    group_by: Literal["provider", "tenant"] = "tenant" if by == "tenant" else "provider"
    daily = await system_daily(view.reader, selection.month, group_by, today)
    query = {**query_of(selection, Month.of(today)), "by": None if by == "provider" else by}
    filtered = any(value for name, value in query.items() if name in ("plan", "status", "minAiSharePercent", "search"))
    return render(
        request,
        view.viewer,
        "owner/system_usage.html",
        title="System usage",
        body=body,
        daily=daily,
        by=by,
        # Further pages of the list are about the list.
        chart=(months_chart(daily) if by == "month" else system_chart(daily)) if selection.cursor is None else None,
        selection=selection,
        query=query,
        filtered=filtered,
        months=months(today, selection.month),
        ways=ways(paths.SYSTEM_USAGE, query, at, selection.cursor, body.next_cursor, selection.limit),
        state={"sort": selection.sort, "order": "desc" if selection.descending else "asc"},
        today=today,
        high_ai_share=HIGH_AI_SHARE,
        near_or_over=",".join(NEAR_OR_OVER),
        export=EXPORT,
    )


async def exported_tenants(view: RootViewer, selection: Selection) -> AsyncIterator[AsyncIterator[Row]]:
    # A dependency, so that the transaction lasts until the last chunk is sent or the client has gone.
    async with service.tenant_rows(view.reader, selection) as rows:
        yield rows


@router.get(EXPORT)
async def send_system_usage(
    view: RootViewer, selection: Selection, rows: Annotated[AsyncIterator[Row], Depends(exported_tenants)]
) -> Response:
    """Send the whole filtered list as a CSV file."""
    return export.csv_response(rows, selection.month, {}, view.reader.data_as_of)
