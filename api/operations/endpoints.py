"""HTTP of the operator's commands, and what they hold for the application's life."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, cast

from fastapi import APIRouter, FastAPI, Path, Query, Request
from starlette.responses import Response

from api.auth.access import AllTenants, RootAdmin
from api.kit.database import RootReader
from api.kit.parameters import NO_NUL
from api.kit.periods import MAX_RANGE_DAYS, DayRange
from api.kit.problems import InvalidToken, documented
from api.kit.responses import serialised
from api.kit.schemas import ResponseBody
from api.kit.services import services
from api.operations.acknowledgements import OperatorDatabase, acknowledge, handle
from api.operations.dagster import Dagster
from api.operations.rebuilds import STATUS_PATH, Rebuilds
from api.operations.schemas import Acknowledgement, HandledAlerts, Handling, LaunchedRebuild, Rebuild
from api.settings import Settings

DEFAULT_DAYS = 7

TAG = {"name": "Operator commands", "description": "Root admins only."}

router = APIRouter(tags=[TAG["name"]], responses=documented(401, 403, 422, 503))


@dataclass(frozen=True, slots=True)
class Operations:
    """What the commands work with."""

    database: OperatorDatabase
    rebuilds: Rebuilds


def install(app: FastAPI, settings: Settings) -> None:
    """Mount the commands.

    Raises:
        SettingsError: no database URL of the operator is set, or an address is not a URL.
    """
    app.state.operations = Operations(
        OperatorDatabase(settings.operator_url()),
        Rebuilds(Dagster(settings.dagster_link(), settings.dagster_internal_link())),
    )
    app.include_router(router)
    app.openapi_tags = [*(app.openapi_tags or []), TAG]


def operations(request: Request) -> Operations:
    return cast(Operations, request.app.state.operations)


def operator_name(subject: str) -> str:
    """Return who commands, as the database and Dagster can keep it.

    Raises:
        InvalidToken: the name holds what neither can.
    """
    if "\0" in subject:
        raise InvalidToken("The claim sub is not a name.")
    return subject


async def acknowledge_as(request: Request, subject: str, alert_id: int) -> Acknowledgement:
    """Acknowledge an alert in somebody's name; raises as `acknowledge`."""
    return await acknowledge(
        services(request).primary.root(), operations(request).database, alert_id, operator_name(subject)
    )


async def handle_as(request: Request, subject: str, handling: Handling) -> HandledAlerts:
    """Acknowledge, put off or comment on alerts in somebody's name; raises as `handle`."""
    return await handle(
        services(request).primary.root(), operations(request).database, handling, operator_name(subject)
    )


async def launch_rebuild(request: Request, reader: RootReader, subject: str, days: int) -> LaunchedRebuild:
    """Launch a rebuild of today and the days before, ``days`` in all; or return the one that is under way.

    Raises:
        SchedulerUnavailable, DaysNotRebuildable: see `Rebuilds.launch`.
    """
    rebuilds = operations(request).rebuilds
    backfill, launched = await rebuilds.launch(
        DayRange.trailing(services(request).today(), days), operator_name(subject)
    )
    await reader.find_build()
    progress = await rebuilds.progress(backfill, reader.data_as_of)
    return LaunchedRebuild(**progress.model_dump(), launched=launched)


async def find_rebuild(request: Request, reader: RootReader, backfill: str) -> Rebuild:
    """Return how far a rebuild is; raises as `Rebuilds.progress`."""
    await reader.find_build()
    return await operations(request).rebuilds.progress(backfill, reader.data_as_of)


@router.post(
    "/api/admin/usage/rebuild",
    summary="Read and build the last days again",
    status_code=202,
    response_model=LaunchedRebuild,
    responses=documented(409),
)
async def rebuild_days(
    caller: RootAdmin,
    reader: AllTenants,
    request: Request,
    days: Annotated[
        int,
        Query(
            ge=1, le=MAX_RANGE_DAYS, description="Today and the days before, this many; from the first partition on."
        ),
    ] = DEFAULT_DAYS,
) -> Response:
    """Ingest and build the last days again, as one Dagster backfill. While one of the same days runs, that one is returned."""
    body = await launch_rebuild(request, reader, caller.subject, days)
    return _answer(body, status=202, Location=body.status_url)


@router.get(STATUS_PATH, summary="How far a rebuild is", response_model=Rebuild, responses=documented(404))
async def read_rebuild(
    reader: AllTenants, request: Request, id: Annotated[str, Path(pattern=NO_NUL, max_length=100)]
) -> Response:
    """How far a rebuild is."""
    return _answer(await find_rebuild(request, reader, id))


@router.post(
    "/api/admin/usage/alerts/{id}/acknowledge",
    summary="Say that an alert has been seen",
    response_model=Acknowledgement,
    responses=documented(404, 409),
)
async def acknowledge_alert(
    caller: RootAdmin, request: Request, id: Annotated[int, Path(ge=1, examples=[42])]
) -> Response:
    """Say that an alert has been seen: it is not sent again. A second time returns who did so first."""
    return _answer(await acknowledge_as(request, caller.subject, id))


@router.post(
    "/api/admin/usage/alerts",
    summary="Acknowledge, put off or comment on alerts",
    response_model=HandledAlerts,
    responses=documented(400, 404),
)
async def handle_alerts(caller: RootAdmin, request: Request, handling: Handling) -> Response:
    """Acknowledge several alerts at once, put them off, or comment on them: all or none."""
    return _answer(await handle_as(request, caller.subject, handling))


def _answer(body: ResponseBody, *, status: int = 200, **headers: str) -> Response:
    return Response(
        serialised(body),
        status_code=status,
        media_type="application/json",
        headers={"Cache-Control": "no-store", **headers},
    )
