"""`/admin/unattributed`: what used what nobody owns, to be worked off, and the same list as a file."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Request
from starlette.responses import Response

from api.admin.unattributed import (
    DEFAULT_SORT,
    UnattributedList,
    unattributed,
    unattributed_file,
    unattributed_list,
)
from api.dashboard import paths
from api.dashboard.owner.listing import ListPage, months, ways
from api.dashboard.rendering import render
from api.dashboard.viewer import RootViewer
from api.kit.periods import Month
from api.kit.services import services

router = APIRouter()

EXPORT = f"{paths.UNATTRIBUTED}/export"

Selection = Annotated[UnattributedList, Depends(unattributed_list)]


@router.get(paths.UNATTRIBUTED)
async def show_unattributed(view: RootViewer, request: Request, selection: Selection, at: ListPage) -> Response:
    """Show a page of the list, each entry with the line that gives it to a tenant."""
    today = services(request).today()
    body = await unattributed(view.reader, selection)
    query = {
        "period": None if selection.month == Month.of(today) else selection.month.key,
        "search": selection.search,
        "sort": None if selection.sort == DEFAULT_SORT else selection.sort,
        "order": None if selection.descending else "asc",
        "limit": None if selection.limit == 50 else str(selection.limit),
    }
    return render(
        request,
        view.viewer,
        "owner/unattributed.html",
        title="Unattributed usage",
        body=body,
        selection=selection,
        query=query,
        months=months(today, selection.month),
        export=EXPORT,
        state={"sort": selection.sort, "order": "desc" if selection.descending else "asc"},
        ways=ways(paths.UNATTRIBUTED, query, at, selection.cursor, body.next_cursor, selection.limit),
    )


@router.get(EXPORT)
async def send_unattributed(view: RootViewer, selection: Selection) -> Response:
    """Send the whole list as a CSV file."""
    return (await unattributed_file(view.reader, selection)).response()
