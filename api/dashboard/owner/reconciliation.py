"""`/admin/reconciliation`: what the providers counted against what was tracked at the source."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Request
from starlette.responses import Response

from api.admin import service
from api.admin.endpoints import STATES, reconciliation_list
from api.admin.service import ReconciliationList
from api.dashboard import formats, paths
from api.dashboard.owner.listing import PlaceInList, months, ways
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
    wanted: Annotated[ReconciliationList, Depends(reconciliation_list)],
    at: PlaceInList,
) -> Response:
    """Show a page of reconciled days."""
    today = services(request).today()
    body = await service.reconciliation(view.reader, wanted)
    query = {
        "period": None if wanted.month == Month.of(today) else wanted.month.key,
        "state": ",".join(wanted.states or ()),
        "service": wanted.service,
        "tenantId": wanted.tenant,
        "limit": None if wanted.limit == 50 else str(wanted.limit),
    }
    reconciled = (*(name for name in SERVICES if name != "internal"), *CONTROLS)
    services_to_choose = [(name, formats.service_name(name)) for name in reconciled]
    return render(
        request,
        view.viewer,
        "owner/reconciliation.html",
        title="Reconciliation",
        body=body,
        wanted=wanted,
        query=query,
        states=STATES,
        services=services_to_choose,
        months=months(today, wanted.month),
        ways=ways(paths.RECONCILIATION, query, at, wanted.cursor, body.next_cursor, wanted.limit),
    )
