"""`/admin/usage/{tenantId}/explain`: why a tenant's figures of a day are what they are."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated

from fastapi import APIRouter, Depends, Request
from starlette.responses import Response

from api.dashboard import paths
from api.dashboard.owner.listing import PlaceInList, ways
from api.dashboard.owner.tenant_details import TenantInPath
from api.dashboard.rendering import render
from api.dashboard.viewer import RootViewer
from api.explain import service
from api.explain.endpoints import asked
from api.explain.service import Asked
from api.kit.services import services

router = APIRouter()


@router.get(f"{paths.COSTS}/{{tenantId}}/explain")
async def show_explanation(
    view: RootViewer,
    request: Request,
    tenant_id: TenantInPath,
    wanted: Annotated[Asked, Depends(asked)],
    at: PlaceInList,
) -> Response:
    """Show the lines of a day: formula, prices, attribution and raw records of each."""
    # As that tenant, although a root admin asks: no more rights than the answer needs.
    reader = services(request).database.tenant(tenant_id)
    body = await service.explanation(reader, wanted)
    path = f"{paths.COSTS}/{tenant_id}/explain"
    query = {"date": wanted.day.isoformat(), "channel": wanted.channel, "line": wanted.line}
    following = body.lines[0].records.next_cursor if wanted.line and body.lines else body.next_cursor
    limit = wanted.records if wanted.line else wanted.limit
    return render(
        request,
        view.viewer,
        "owner/explanation.html",
        title=f"{tenant_id} on {wanted.day.isoformat()}",
        body=body,
        wanted=wanted,
        page_path=path,
        previous_day=wanted.day - timedelta(days=1),
        next_day=wanted.day + timedelta(days=1) if wanted.day < services(request).today() else None,
        ways=ways(path, query, at, wanted.cursor, following, limit),
    )
