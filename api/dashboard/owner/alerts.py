"""`/admin/alerts`: what somebody should look at, of all tenants."""

from __future__ import annotations

from typing import Annotated, Literal, get_args

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from api.admin.alerts import AlertType, Severity, alerts
from api.dashboard import paths
from api.dashboard.owner.listing import ListPage, ways
from api.dashboard.rendering import render
from api.dashboard.viewer import RootViewer
from api.kit.parameters import NO_NUL

router = APIRouter()

LIMIT = 50


@router.get(paths.ALERTS)
async def show_alerts(
    view: RootViewer,
    request: Request,
    at: ListPage,
    # An empty choice of a form is no filter; what lasts is what the page is for.
    state: Literal["open", "resolved", "all", ""] = "open",
    acknowledged: Literal["true", "false", ""] = "",
    alert_type: Annotated[AlertType | Literal[""], Query(alias="type")] = "",
    severity: Severity | Literal[""] = "",
    tenant_id: Annotated[str, Query(alias="tenantId", pattern=NO_NUL, max_length=200)] = "",
    cursor: Annotated[str | None, Query(max_length=4_000)] = None,
) -> Response:
    """Show a page of alerts, the open ones unless asked otherwise."""
    chosen = state or "open"
    body = await alerts(
        view.reader,
        acknowledged={"true": True, "false": False, "": None}[acknowledged],
        state=None if chosen == "all" else chosen,
        tenant=tenant_id.strip() or None,
        alert_type=alert_type or None,
        severity=severity or None,
        limit=LIMIT,
        cursor=cursor,
    )
    query = {
        "state": None if chosen == "open" else chosen,
        "acknowledged": acknowledged,
        "type": alert_type,
        "severity": severity,
        "tenantId": tenant_id.strip(),
    }
    return render(
        request,
        view.viewer,
        "owner/alerts.html",
        title="Alerts",
        body=body,
        chosen=chosen,
        query=query,
        types=get_args(AlertType),
        severities=get_args(Severity)[::-1],
        ways=ways(paths.ALERTS, query, at, cursor, body.next_cursor, LIMIT),
    )
