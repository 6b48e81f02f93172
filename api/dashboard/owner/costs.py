"""`/admin/usage`: what each client cost in a month, against the month before and against what they pay; and the same list as a file."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import APIRouter, Depends, Request
from pydantic.alias_generators import to_camel
from starlette.responses import Response

from api.admin import export, service
from api.admin.endpoints import client_list
from api.admin.service import CLIENT_DEFAULT_SORT, COST_COLUMNS, TenantList
from api.dashboard import formats, paths
from api.dashboard.owner.listing import ListPage, months, ways
from api.dashboard.rendering import render
from api.dashboard.viewer import RootViewer
from api.kit.database import Row
from api.kit.money import money
from api.kit.periods import Month
from api.kit.services import services

router = APIRouter()

Selection = Annotated[TenantList, Depends(client_list)]
# What a column is called where ten stand beside each other; the others by their services' names.
SHORT = {
    "twilio_sms": "SMS",
    "twilio_voice": "Voice",
    "twilio_phone": "Numbers",
    "sendgrid": "Email",
    "google_places": "Places",
    "storage": "R2",
}
# A column of costs: its label, the name of both figures of the body, and that of the whole one on the wire.
COSTS = [
    (SHORT.get(name, formats.service_name(name)), f"{name}_cost", to_camel(f"{name}_cost_cents"))
    for name in COST_COLUMNS
]


@router.get(paths.COSTS)
async def show_costs(view: RootViewer, request: Request, selection: Selection, at: ListPage) -> Response:
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
        costs=COSTS,
        expected={tenant: money("cost", expected) for tenant, expected in forecasts.items()},
        months=months(today, selection.month),
        ways=ways(paths.COSTS, query, at, selection.cursor, body.next_cursor, selection.limit),
        state={"sort": selection.sort, "order": "desc" if selection.descending else "asc"},
    )


async def exported_clients(view: RootViewer, selection: Selection) -> AsyncIterator[AsyncIterator[Row]]:
    # A dependency, so that the transaction lasts until the last chunk is sent or the client has gone.
    async with service.tenant_rows(view.reader, selection) as rows:
        yield rows


@router.get(paths.COSTS_EXPORT)
async def send_costs(
    view: RootViewer, selection: Selection, rows: Annotated[AsyncIterator[Row], Depends(exported_clients)]
) -> Response:
    """Send the whole list as a CSV file."""
    return export.clients_response(rows, selection.month, {}, view.reader.data_as_of)
