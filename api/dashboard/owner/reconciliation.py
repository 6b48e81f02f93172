"""`/admin/reconciliation`: what the providers counted against what was tracked at the source."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Request
from starlette.responses import Response

from api.admin import service
from api.admin.endpoints import STATES, reconciliation_list
from api.admin.service import ReconciliationList
from api.dashboard import formats, paths
from api.dashboard.owner.listing import ListPage, months, ways
from api.dashboard.rendering import render
from api.dashboard.viewer import RootViewer
from api.kit.periods import Month
from api.kit.services import services
from costs.rules.services import SERVICES

router = APIRouter()

# Twilio's totals of an account, beside what its records come to.
CONTROLS = ("twilio_sms_total", "twilio_voice_total")


@router.get(paths.RECONCILIATION)
async def show_reconciliation(
    view: RootViewer,
    request: Request,
    selection: Annotated[ReconciliationList, Depends(reconciliation_list)],
    at: ListPage,
) -> Response:
    """Show a page of reconciled days."""
    today = services(request).today()
    body = await service.reconciliation(view.reader, selection)
    query = {
        "period": None if selection.month == Month.of(today) else selection.month.key,
        "state": ",".join(selection.states or ()),
        "service": selection.service,
        "tenantId": selection.tenant,
        "limit": None if selection.limit == 50 else str(selection.limit),
    }
    reconciled = (*(name for name in SERVICES if name != "internal"), *CONTROLS)
    services_to_choose = [(name, formats.service_name(name)) for name in reconciled]
    return render(
        request,
        view.viewer,
        "owner/reconciliation.html",
        title="Reconciliation",
        body=body,
        selection=selection,
        query=query,
        states=STATES,
        services=services_to_choose,
        months=months(today, selection.month),
        ways=ways(paths.RECONCILIATION, query, at, selection.cursor, body.next_cursor, selection.limit),
    )
