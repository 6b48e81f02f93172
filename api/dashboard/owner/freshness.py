"""`/admin/data-freshness`: when each source was last read, and when the figures were last proven."""

from __future__ import annotations

from fastapi import APIRouter, Request
from starlette.responses import Response

from api.admin import service
from api.dashboard import paths
from api.dashboard.rendering import render
from api.dashboard.viewer import RootViewer

router = APIRouter()


@router.get(paths.FRESHNESS)
async def show_freshness(view: RootViewer, request: Request) -> Response:
    """Show every source table, with a way into the Dagster UI where that is known."""
    body = await service.freshness(view.reader)
    return render(
        request,
        view.viewer,
        "owner/freshness.html",
        title="Data freshness",
        body=body,
    )
