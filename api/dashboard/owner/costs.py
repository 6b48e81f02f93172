"""`/admin/usage`: what each client cost in a month, against the month before and against what they pay."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Request
from starlette.responses import Response

from api.admin import service
from api.admin.endpoints import client_list
from api.admin.service import CLIENT_DEFAULT_SORT, TenantList
from api.dashboard import paths
from api.dashboard.owner.listing import ListPage, months, ways
from api.dashboard.rendering import render
from api.dashboard.viewer import RootViewer
from api.kit.money import money
from api.kit.periods import Month
from api.kit.services import services

router = APIRouter()


@router.get(paths.COSTS)
async def show_costs(
    view: RootViewer, request: Request, selection: Annotated[TenantList, Depends(client_list)], at: ListPage
) -> Response:
    """Show a page of the clients' costs."""
    today = services(request).today()
    body = await service.client_costs(view.reader, selection)
    is_this_month = selection.month == Month.of(today)
    tenants = [client.tenant_id for client in body.clients]
    forecasts = await service.expected_costs(view.reader, tenants, today) if is_this_month else {}
    query = {
        "month": None if selection.month == Month.of(today) else selection.month.key,
        "search": selection.search,
        "sort": None if selection.sort == CLIENT_DEFAULT_SORT else selection.sort,
        "order": None if selection.descending else "asc",
        "limit": None if selection.limit == 50 else str(selection.limit),
    }
    return render(
        request,
        view.viewer,
        "owner/costs.html",
        title="API Usage & Costs",
        body=body,
        selection=selection,
        query=query,
        is_this_month=is_this_month,
        expected={tenant: money("cost", expected) for tenant, expected in forecasts.items()},
        months=months(today, selection.month),
        ways=ways(paths.COSTS, query, at, selection.cursor, body.next_cursor, selection.limit),
        state={"sort": selection.sort, "order": "desc" if selection.descending else "asc"},
    )
