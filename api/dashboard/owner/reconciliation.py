"""`/admin/reconciliation`: what the providers counted against what was tracked at the source, and the same list as a file."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import APIRouter, Depends, Request
from starlette.responses import Response

from api.admin.reconciliation import (
    DEFAULT_SORT,
    STATES,
    ReconciliationList,
    reconciled_rows,
    reconciliation,
    reconciliation_file,
    reconciliation_list,
)
from api.dashboard import formats, paths
from api.dashboard.owner.listing import ListPage, months, ways
from api.dashboard.rendering import render
from api.dashboard.viewer import RootViewer
from api.kit.database import Row
from api.kit.periods import Month
from api.kit.services import services
from costs.rules.services import SERVICES

router = APIRouter()

EXPORT = f"{paths.RECONCILIATION}/export"
# Twilio's totals of an account, beside what its records come to.
CONTROLS = ("twilio_sms_total", "twilio_voice_total")

Selection = Annotated[ReconciliationList, Depends(reconciliation_list)]


@router.get(paths.RECONCILIATION)
async def show_reconciliation(view: RootViewer, request: Request, selection: Selection, at: ListPage) -> Response:
    """Show a page of reconciled days."""
    today = services(request).today()
    body = await reconciliation(view.reader, selection)
    query = {
        "period": None if selection.month == Month.of(today) else selection.month.key,
        "state": ",".join(selection.states or ()),
        "service": selection.service,
        "tenantId": selection.tenant,
        "search": selection.search,
        "sort": None if selection.sort == DEFAULT_SORT else selection.sort,
        "order": None if selection.descending else "asc",
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
        export=EXPORT,
        state={"sort": selection.sort, "order": "desc" if selection.descending else "asc"},
        ways=ways(paths.RECONCILIATION, query, at, selection.cursor, body.next_cursor, selection.limit),
    )


async def exported_reconciliation(view: RootViewer, selection: Selection) -> AsyncIterator[AsyncIterator[Row]]:
    # A dependency, so that the transaction lasts until the last chunk is sent or the client has gone.
    async with reconciled_rows(view.reader, selection) as rows:
        yield rows


@router.get(EXPORT)
async def send_reconciliation(
    view: RootViewer, selection: Selection, rows: Annotated[AsyncIterator[Row], Depends(exported_reconciliation)]
) -> Response:
    """Send the whole filtered list as a CSV file."""
    return reconciliation_file(rows, selection.month, {}, view.reader.data_as_of)
