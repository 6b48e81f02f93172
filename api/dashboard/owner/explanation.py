"""`/admin/usage/{tenantId}/explain`: why a tenant's figures of a day are what they are."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated

from fastapi import APIRouter, Depends, Request
from starlette.responses import Response

from api.dashboard import paths
from api.dashboard.owner.listing import ListPage, ways
from api.dashboard.owner.tenant_details import TenantInPath
from api.dashboard.rendering import render
from api.dashboard.viewer import RootViewer
from api.explain import service
from api.explain.endpoints import explain_query
from api.explain.service import ExplainQuery
from api.kit.services import services

router = APIRouter()


@router.get(f"{paths.COSTS}/{{tenantId}}/explain")
async def show_explanation(
    view: RootViewer,
    request: Request,
    tenant_id: TenantInPath,
    selection: Annotated[ExplainQuery, Depends(explain_query)],
    at: ListPage,
) -> Response:
    """Show the lines of a day: formula, prices, attribution and raw records of each."""
    # As that tenant, although a root admin asks: no more rights than the answer needs.
    reader = services(request).database.tenant(tenant_id)
    body = await service.explanation(reader, selection)
    path = f"{paths.COSTS}/{tenant_id}/explain"
    query = {"date": selection.day.isoformat(), "channel": selection.channel, "line": selection.line}
    following = body.lines[0].records.next_cursor if selection.line and body.lines else body.next_cursor
    limit = selection.records if selection.line else selection.limit
    return render(
        request,
        view.viewer,
        "owner/explanation.html",
        title=f"{tenant_id} on {selection.day.isoformat()}",
        body=body,
        selection=selection,
        page_path=path,
        previous_day=selection.day - timedelta(days=1),
        next_day=selection.day + timedelta(days=1) if selection.day < services(request).today() else None,
        ways=ways(path, query, at, selection.cursor, following, limit),
    )
