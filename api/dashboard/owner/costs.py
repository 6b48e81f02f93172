"""`/admin/usage`: what each client cost in a month, against the month before and against what they pay."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Request
from starlette.responses import Response

from api.admin import service
from api.admin.endpoints import client_list
from api.admin.service import CLIENT_DEFAULT_SORT, TenantList
from api.dashboard import paths
from api.dashboard.owner.listing import PlaceInList, months, ways
from api.dashboard.rendering import render
from api.dashboard.viewer import RootViewer
from api.kit.money import money
from api.kit.periods import Month
from api.kit.services import services

router = APIRouter()


@router.get(paths.COSTS)
async def show_costs(
    view: RootViewer, request: Request, wanted: Annotated[TenantList, Depends(client_list)], at: PlaceInList
) -> Response:
    """Show a page of the clients' costs."""
    today = services(request).today()
    body = await service.client_costs(view.reader, wanted)
    is_this_month = wanted.month == Month.of(today)
    tenants = [client.tenant_id for client in body.clients]
    forecasts = await service.expected_costs(view.reader, tenants, today) if is_this_month else {}
    query = {
        "month": None if wanted.month == Month.of(today) else wanted.month.key,
        "search": wanted.search,
        "sort": None if wanted.sort == CLIENT_DEFAULT_SORT else wanted.sort,
        "order": None if wanted.descending else "asc",
        "limit": None if wanted.limit == 50 else str(wanted.limit),
    }
    return render(
        request,
        view.viewer,
        "owner/costs.html",
        title="API Usage & Costs",
        body=body,
        wanted=wanted,
        query=query,
        is_this_month=is_this_month,
        expected={tenant: money("cost", expected) for tenant, expected in forecasts.items()},
        months=months(today, wanted.month),
        ways=ways(paths.COSTS, query, at, wanted.cursor, body.next_cursor, wanted.limit),
        state={"sort": wanted.sort, "order": "desc" if wanted.descending else "asc"},
    )
