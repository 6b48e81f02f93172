"""The owner's two commands as forms, and the page that follows a rebuild. Included only where the commands are mounted."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Form, Path, Query, Request
from pydantic import Field
from starlette.responses import RedirectResponse, Response

from api.dashboard import paths
from api.dashboard.rendering import render
from api.dashboard.viewer import RootViewer, require_csrf
from api.kit.parameters import NO_NUL
from api.kit.periods import MAX_RANGE_DAYS
from api.operations.endpoints import DEFAULT_DAYS, acknowledge_as, find_rebuild, handle_as, launch_rebuild
from api.operations.schemas import LONGEST_COMMENT, LONGEST_SNOOZE_HOURS, MOST_ALERTS, Handling

REBUILD = "/admin/rebuild"
REBUILDS = "/admin/rebuilds"

# A header, not a script: it works without one, and ends with the last page that sends it.
REFRESH_SECONDS = 3
UNDER_WAY = ("queued", "running")

router = APIRouter(include_in_schema=False)


@router.post(paths.ALERTS + "/{id}/acknowledge", dependencies=[Depends(require_csrf)])
async def acknowledge_alert(
    request: Request,
    view: RootViewer,
    id: Annotated[int, Path(ge=1)],
    target: Annotated[str | None, Form(alias="next")] = None,
) -> Response:
    """Acknowledge an alert, and go back to where the form was."""
    await acknowledge_as(request, view.viewer.subject, id)
    return _see(request, _below_root(request, target) or paths.ALERTS)


@router.post(paths.ALERTS, dependencies=[Depends(require_csrf)])
async def handle_alerts(
    request: Request,
    view: RootViewer,
    action: Annotated[Literal["acknowledge", "snooze", "comment"], Form()],
    ids: Annotated[list[Annotated[int, Field(ge=1)]] | None, Form(alias="id", max_length=MOST_ALERTS)] = None,
    hours: Annotated[int, Form(ge=1, le=LONGEST_SNOOZE_HOURS)] = 24,
    comment: Annotated[str, Form(pattern=NO_NUL, max_length=LONGEST_COMMENT)] = "",
    target: Annotated[str | None, Form(alias="next")] = None,
) -> Response:
    """Do with the chosen alerts what the button says, and go back to where the form was; without one, or without a word, nothing."""
    said = comment.strip() or None
    if ids and (action != "comment" or said):
        handling = Handling(
            ids=ids,
            acknowledge=action == "acknowledge",
            snooze_hours=hours if action == "snooze" else None,
            comment=said,
        )
        await handle_as(request, view.viewer.subject, handling)
    return _see(request, _below_root(request, target) or paths.ALERTS)


@router.post(REBUILD, dependencies=[Depends(require_csrf)])
async def rebuild_days(
    request: Request, view: RootViewer, days: Annotated[int, Form(ge=1, le=MAX_RANGE_DAYS)] = DEFAULT_DAYS
) -> Response:
    """Launch a rebuild, or find the one that is under way, and go to its page."""
    rebuild = await launch_rebuild(request, view.reader, view.viewer.subject, days)
    return _see(request, paths.link(f"{REBUILDS}/{rebuild.id}", {"found": None if rebuild.launched else "1"}))


@router.get(REBUILDS + "/{id}")
async def show_rebuild(
    request: Request,
    view: RootViewer,
    id: Annotated[str, Path(pattern=NO_NUL, max_length=100)],
    found: Annotated[str | None, Query(description="1: it was already running when it was requested again.")] = None,
    pause: Annotated[str | None, Query(description="1: the page stays as it is.")] = None,
) -> Response:
    """Show how far a rebuild is; while it is under way the page loads itself again."""
    rebuild = await find_rebuild(request, view.reader, id)
    under_way = rebuild.status in UNDER_WAY
    response = render(
        request,
        view.viewer,
        "operations/rebuild.html",
        title="Rebuild",
        rebuild=rebuild,
        here=f"{REBUILDS}/{rebuild.id}",
        under_way=under_way,
        found=found == "1",
        paused=pause == "1",
        refresh_seconds=REFRESH_SECONDS,
    )
    if under_way and pause != "1":
        response.headers["Refresh"] = str(REFRESH_SECONDS)
    return response


def _see(request: Request, target: str) -> Response:
    return RedirectResponse(paths.root_path(request) + target, status_code=303)


def _below_root(request: Request, target: str | None) -> str | None:
    """Return a page of ours without the root path, which a form's own address has."""
    root = paths.root_path(request)
    local = target[len(root) :] if target and root and target.startswith(f"{root}/") else target
    return paths.safe_next(local)
