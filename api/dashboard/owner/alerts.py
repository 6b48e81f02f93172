"""`/admin/alerts`: what somebody should look at, of all tenants, and the same list as a file."""

from __future__ import annotations

from typing import Annotated, Literal, get_args

from fastapi import APIRouter, Depends, Query, Request
from starlette.responses import Response

from api.admin.alerts import (
    DEFAULT_SORT,
    AlertList,
    AlertType,
    Severity,
    Sort,
    alerts,
    alerts_file,
)
from api.dashboard import paths
from api.dashboard.owner.listing import ListPage, ways
from api.dashboard.rendering import render
from api.dashboard.viewer import RootViewer
from api.kit.parameters import NO_NUL

router = APIRouter()

EXPORT = f"{paths.ALERTS}/export"


async def chosen_alerts(
    # An empty choice of a form is no filter; what lasts is what the page is for.
    state: Literal["open", "resolved", "all", ""] = "open",
    acknowledged: Literal["true", "false", ""] = "",
    alert_type: Annotated[AlertType | Literal[""], Query(alias="type")] = "",
    severity: Severity | Literal[""] = "",
    tenant_id: Annotated[str, Query(alias="tenantId", pattern=NO_NUL, max_length=200)] = "",
    search: Annotated[str, Query(pattern=NO_NUL, max_length=200)] = "",
    sort: Sort = DEFAULT_SORT,
    order: Literal["asc", "desc"] = "desc",
    cursor: Annotated[str | None, Query(max_length=4_000)] = None,
) -> AlertList:
    lasting: dict[str, Literal["open", "resolved"] | None] = {"all": None, "resolved": "resolved"}
    return AlertList(
        acknowledged={"true": True, "false": False, "": None}[acknowledged],
        state=lasting.get(state, "open"),
        tenant=tenant_id.strip() or None,
        alert_type=alert_type or None,
        severity=severity or None,
        search=search.strip() or None,
        sort=sort,
        descending=order == "desc",
        cursor=cursor,
    )


Selection = Annotated[AlertList, Depends(chosen_alerts)]


def query_of(selection: AlertList) -> dict[str, str | None]:
    """Return the list's parameters as its addresses have them, without those that are the default."""
    return {
        "state": {"open": None, None: "all"}.get(selection.state, selection.state),
        "acknowledged": None if selection.acknowledged is None else str(selection.acknowledged).lower(),
        "type": selection.alert_type,
        "severity": selection.severity,
        "tenantId": selection.tenant,
        "search": selection.search,
        "sort": None if selection.sort == DEFAULT_SORT else selection.sort,
        "order": None if selection.descending else "asc",
    }


@router.get(paths.ALERTS)
async def show_alerts(view: RootViewer, request: Request, at: ListPage, selection: Selection) -> Response:
    """Show a page of alerts, the open ones unless asked otherwise."""
    body = await alerts(view.reader, selection)
    query = query_of(selection)
    return render(
        request,
        view.viewer,
        "owner/alerts.html",
        title="Alerts",
        body=body,
        chosen=selection.state or "all",
        query=query,
        types=get_args(AlertType),
        severities=get_args(Severity)[::-1],
        export=EXPORT,
        state={"sort": selection.sort, "order": "desc" if selection.descending else "asc"},
        ways=ways(paths.ALERTS, query, at, selection.cursor, body.next_cursor, selection.limit),
    )


@router.get(EXPORT)
async def send_alerts(view: RootViewer, selection: Selection) -> Response:
    """Send the whole filtered list as a CSV file."""
    return (await alerts_file(view.reader, selection)).response()
