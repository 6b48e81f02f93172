"""`/admin/data-freshness`: when each source was last read, and when the figures were last proven; and the same list as a file."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Request
from starlette.responses import Response

from api.admin import service
from api.admin.endpoints import source_list
from api.admin.schemas import SourceFreshness
from api.admin.service import SourceList
from api.dashboard import paths
from api.dashboard.rendering import render
from api.dashboard.viewer import RootViewer
from api.kit.body_files import short_file

router = APIRouter()

EXPORT = f"{paths.FRESHNESS}/export"

Selection = Annotated[SourceList, Depends(source_list)]


@router.get(paths.FRESHNESS)
async def show_freshness(view: RootViewer, request: Request, selection: Selection) -> Response:
    """Show every source table, with a way into the Dagster UI where that is known."""
    body = await service.freshness(view.reader, selection)
    return render(
        request,
        view.viewer,
        "owner/freshness.html",
        title="Data freshness",
        body=body,
        query={
            "search": selection.search,
            "sort": None if selection.sort == SourceList().sort else selection.sort,
            "order": "desc" if selection.descending else None,
        },
        export=EXPORT,
        state={"sort": selection.sort, "order": "desc" if selection.descending else "asc"},
    )


@router.get(EXPORT)
async def send_freshness(view: RootViewer, selection: Selection) -> Response:
    """Send the list as a CSV file."""
    body = await service.freshness(view.reader, selection)
    return short_file(SourceFreshness, body.items, "data-freshness.csv", body.data_as_of).response()
