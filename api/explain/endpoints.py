"""HTTP of the explanations: parameters in, caching, and nothing else."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Path, Query, Request
from starlette.responses import Response

from api.auth.access import AllTenants, OneTenant
from api.explain import service
from api.explain.schemas import Explanation
from api.explain.service import ExplainQuery
from api.kit.parameters import MAX_PAGE, NO_NUL
from api.kit.periods import parse_day
from api.kit.problems import UnknownObject, documented
from api.kit.responses import json_response, stop_if_known
from api.kit.services import services
from costs.rules.services import CHANNELS

tenant_router = APIRouter(tags=["Tenant usage"], responses=documented(401, 404, 422, 503))
root_router = APIRouter(tags=["All tenants"], responses=documented(401, 403, 404, 422, 503))


async def explain_query(
    request: Request,
    day: Annotated[
        str | None, Query(alias="date", description="A day. Default: today.", examples=["2026-11-20"])
    ] = None,
    channel: Annotated[
        str | None, Query(pattern=NO_NUL, description="Only this channel. Default: all.", examples=["sms"])
    ] = None,
    line: Annotated[
        str | None,
        Query(
            pattern=NO_NUL,
            max_length=100,
            description="Only the line with this lineId; `cursor` is then of its records.",
        ),
    ] = None,
    limit: Annotated[int, Query(ge=1, le=MAX_PAGE, description=f"Lines per page, at most {MAX_PAGE}.")] = 50,
    records: Annotated[
        int, Query(ge=1, le=MAX_PAGE, description=f"Raw records per line and page, at most {MAX_PAGE}.")
    ] = 20,
    cursor: Annotated[
        str | None,
        Query(
            max_length=4_000, description="The nextCursor of the page before: the body's, or with `line` its records'."
        ),
    ] = None,
) -> ExplainQuery:
    today = services(request).today()
    chosen = today if day is None else parse_day(day, today=today, field="date")
    if channel is not None and channel not in CHANNELS:
        raise UnknownObject("There is no such channel.")
    return ExplainQuery(chosen, channel, line, limit, records, cursor)


ExplainParameters = Annotated[ExplainQuery, Depends(explain_query)]


@tenant_router.get("/api/billing/usage/explain", summary="Why a day costs what it does", response_model=Explanation)
async def read_explanation(reader: OneTenant, request: Request, query: ExplainParameters) -> Response:
    """Why a day's figures are what they are: each line's formula, price rows, attribution and raw records."""
    await stop_if_known(request, reader)
    return json_response(request, reader, await service.explanation(reader, query))


@root_router.get(
    "/api/admin/usage/{tenantId}/explain", summary="Why a tenant's day costs what it does", response_model=Explanation
)
async def read_tenant_explanation(
    _: AllTenants,
    request: Request,
    tenant_id: Annotated[str, Path(alias="tenantId", pattern=NO_NUL, examples=["acme"])],
    query: ExplainParameters,
) -> Response:
    """As /api/billing/usage/explain, of any tenant and of what nobody owns (`unattributed`)."""
    # As that tenant, although a root admin asks: no more rights than the answer needs.
    reader = services(request).database.tenant(tenant_id)
    await stop_if_known(request, reader)
    return json_response(request, reader, await service.explanation(reader, query))
