"""`/settings/billing-usage`: one tenant's usage and costs."""

from __future__ import annotations

from fastapi import APIRouter, Request
from starlette.responses import Response

from api.dashboard import paths
from api.dashboard.rendering import render
from api.dashboard.viewer import TenantViewer

router = APIRouter(include_in_schema=False)


@router.get(paths.TENANT_PAGE)
async def show_usage(request: Request, view: TenantViewer) -> Response:
    """Show the tenant's page."""
    return render(request, view.viewer, "error.html", title="x", status=200, detail=None)
