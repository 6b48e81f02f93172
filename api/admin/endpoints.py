"""HTTP of the owner's routes: parameters in, caching, and nothing else."""

from __future__ import annotations

from collections.abc import AsyncIterator
from decimal import Decimal
from functools import partial
from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Path, Query, Request
from starlette.responses import Response, StreamingResponse

from api.admin import export, service
from api.admin.schemas import Client, ClientCosts, Freshness, SourceFreshness, SystemSummary, TenantDetail
from api.admin.service import (
    CLIENT_DEFAULT_SORT,
    CLIENT_SORT_KEYS,
    DEFAULT_SORT,
    SORT_KEYS,
    SOURCE_COLUMNS,
    SourceList,
    SourceSort,
    TenantList,
)
from api.auth.access import AllTenants
from api.kit.body_files import documented_file, header_of, short_file
from api.kit.database import Row
from api.kit.files import CSV
from api.kit.parameters import NO_NUL, Limit, MonthText, PageCursor, Period, comma_list
from api.kit.periods import DayRange, Month, checked_days, parse_day, parse_month
from api.kit.problems import InvalidInput, documented
from api.kit.responses import (
    caching_headers,
    etag_of,
    json_response,
    kept_json_response,
    live_json_response,
    live_response,
    stop_if_known,
)
from api.kit.services import services
from costs.rules.limits import STATUSES

router = APIRouter(tags=["All tenants"], responses=documented(401, 403, 422, 503))


async def tenant_list(
    month: Period,
    plan: Annotated[str | None, Query(pattern=NO_NUL, description="Plans, separated by commas.")] = None,
    status: Annotated[
        str | None,
        Query(description="ok, warning, over_cap; several separated by commas.", examples=["warning,over_cap"]),
    ] = None,
    min_ai_share: Annotated[
        Decimal | None,
        Query(
            alias="minAiSharePercent",
            ge=0,
            le=100,
            description="At least this much of the spend is AI.",
            examples=[30],
        ),
    ] = None,
    search: Annotated[
        str | None, Query(pattern=NO_NUL, max_length=200, description="Part of the tenant's name or id.")
    ] = None,
    sort: Annotated[str, Query(description=f"One of {', '.join(SORT_KEYS)}.")] = DEFAULT_SORT,
    order: Literal["asc", "desc"] = "desc",
    limit: Limit = 50,
    cursor: PageCursor = None,
) -> TenantList:
    statuses = comma_list(status)
    if unknown := set(statuses or ()) - set(STATUSES):
        raise InvalidInput("status", f"unknown status {sorted(unknown)[0]}: use {', '.join(STATUSES)}")
    if sort not in SORT_KEYS:
        raise InvalidInput("sort", f"must be one of {', '.join(SORT_KEYS)}")
    return TenantList(
        month=month,
        plans=comma_list(plan),
        statuses=statuses,
        min_ai_share=min_ai_share,
        search=search or None,
        sort=sort,
        descending=order == "desc",
        limit=limit,
        cursor=cursor,
    )


@router.get(
    "/api/admin/billing/usage/system-summary",
    summary="All tenants in a period",
    response_model=SystemSummary,
)
@router.get(
    "/api/admin/billing/usage/tenants",
    summary="All tenants in a period (older path)",
    response_model=SystemSummary,
    description="As /api/admin/billing/usage/system-summary.",
    deprecated=True,
)
@router.get(
    "/api/root-admin/usage/tenants",
    summary="All tenants in a period (oldest path)",
    response_model=SystemSummary,
    description="As /api/admin/billing/usage/system-summary.",
    deprecated=True,
)
async def read_system_summary(
    reader: AllTenants, request: Request, selection: Annotated[TenantList, Depends(tenant_list)]
) -> Response:
    """All tenants in a period, a page at a time, with the totals of the whole filtered set."""
    return await kept_json_response(request, reader, partial(service.system_summary, reader, selection))


async def exported_tenants(
    reader: AllTenants, request: Request, selection: Annotated[TenantList, Depends(tenant_list)]
) -> AsyncIterator[AsyncIterator[Row]]:
    # A dependency, so that the transaction lasts until the last chunk is sent or the client has gone.
    await stop_if_known(request, reader)
    async with service.tenant_rows(reader, selection) as rows:
        yield rows


@router.get(
    "/api/admin/billing/usage/system-summary/export",
    summary="All tenants in a period as a file",
    response_class=StreamingResponse,
    responses=documented_file(export.HEADER),
)
async def read_system_summary_export(
    reader: AllTenants,
    request: Request,
    selection: Annotated[TenantList, Depends(tenant_list)],
    rows: Annotated[AsyncIterator[Row], Depends(exported_tenants)],
) -> Response:
    """The list of all tenants as a CSV file, ready for a spreadsheet (cells that would be formulas are neutralised)."""
    return export.csv_response(rows, selection.month, caching_headers(etag_of(request, reader)), reader.data_as_of)


async def client_list(
    request: Request,
    month: MonthText = "current",
    search: Annotated[
        str | None, Query(pattern=NO_NUL, max_length=200, description="Part of the tenant's name or id.")
    ] = None,
    sort: Annotated[str, Query(description=f"One of {', '.join(CLIENT_SORT_KEYS)}.")] = CLIENT_DEFAULT_SORT,
    order: Literal["asc", "desc"] = "desc",
    limit: Limit = 50,
    cursor: PageCursor = None,
) -> TenantList:
    chosen = parse_month(month, today=services(request).today(), field="month")
    if sort not in CLIENT_SORT_KEYS:
        raise InvalidInput("sort", f"must be one of {', '.join(CLIENT_SORT_KEYS)}")
    return TenantList(
        month=chosen, search=search or None, sort=sort, descending=order == "desc", limit=limit, cursor=cursor
    )


@router.get("/api/admin/usage", summary="All tenants' costs in a month", response_model=ClientCosts)
async def read_client_costs(
    reader: AllTenants, request: Request, selection: Annotated[TenantList, Depends(client_list)]
) -> Response:
    """All tenants' costs in a month, the dearest first unless asked otherwise."""
    await stop_if_known(request, reader)
    body = await service.client_costs(reader, selection)
    return json_response(request, reader, body)


async def exported_clients(
    reader: AllTenants, request: Request, selection: Annotated[TenantList, Depends(client_list)]
) -> AsyncIterator[AsyncIterator[Row]]:
    await stop_if_known(request, reader)
    async with service.tenant_rows(reader, selection) as rows:
        yield rows


@router.get(
    "/api/admin/billing/usage/costs/export",
    summary="All tenants' costs in a month as a file",
    response_class=StreamingResponse,
    responses=documented_file(header_of(Client)),
)
async def read_client_costs_export(
    reader: AllTenants,
    request: Request,
    selection: Annotated[TenantList, Depends(client_list)],
    rows: Annotated[AsyncIterator[Row], Depends(exported_clients)],
) -> Response:
    """The list of /api/admin/usage as a CSV file."""
    return export.clients_response(rows, selection.month, caching_headers(etag_of(request, reader)), reader.data_as_of)


async def source_list(
    search: Annotated[
        str | None, Query(pattern=NO_NUL, max_length=200, description="Part of the table's or the provider's name.")
    ] = None,
    sort: Annotated[SourceSort, Query(description=f"One of {', '.join(SOURCE_COLUMNS)}.")] = "provider",
    order: Literal["asc", "desc"] = "asc",
) -> SourceList:
    return SourceList(search or None, sort, order == "desc")


@router.get("/api/admin/usage/freshness", summary="How fresh each source is", response_model=Freshness)
async def read_freshness(
    reader: AllTenants, request: Request, selection: Annotated[SourceList, Depends(source_list)]
) -> Response:
    """When each table of each provider was last read, how the provider's last run ended, and when figures were last proven."""
    body = await service.freshness(reader, selection)
    return live_json_response(request, body)


@router.get(
    "/api/admin/usage/freshness/export",
    summary="How fresh each source is as a file",
    response_class=StreamingResponse,
    responses=documented_file(header_of(SourceFreshness)),
)
async def read_freshness_export(
    reader: AllTenants, request: Request, selection: Annotated[SourceList, Depends(source_list)]
) -> Response:
    """The list of sources as a CSV file."""
    body = await service.freshness(reader, selection)
    file = short_file(SourceFreshness, body.items, "data-freshness.csv", body.data_as_of)
    return live_response(request, file.content, CSV, file.headers)


async def detail_days(
    request: Request,
    start_date: Annotated[
        str | None,
        Query(alias="startDate", description="Default: the first of this month.", examples=["2026-11-01"]),
    ] = None,
    end_date: Annotated[
        str | None, Query(alias="endDate", description="Included. Default: today.", examples=["2026-11-20"])
    ] = None,
) -> DayRange:
    today = services(request).today()
    last = parse_day(end_date, today=today, field="endDate") if end_date is not None else today
    if start_date is not None:
        first = parse_day(start_date, today=today, field="startDate")
    else:
        first = min(Month.of(today).first, Month.of(last).first)
    return checked_days(first, last, first_field="startDate")


@router.get(
    "/api/admin/usage/{tenantId}",
    summary="A tenant's costs over a range of days",
    response_model=TenantDetail,
    responses=documented(404),
)
async def read_tenant_detail(
    _: AllTenants,
    request: Request,
    tenant_id: Annotated[str, Path(alias="tenantId", pattern=NO_NUL, examples=["acme"])],
    days: Annotated[DayRange, Depends(detail_days)],
) -> Response:
    """One tenant's cost over a range of days: by service, by day and by operation, and this month."""
    # As that tenant, although a root admin asks: no more rights than the answer needs.
    reader = services(request).database.tenant(tenant_id)
    body = await service.tenant_detail(reader, days, services(request).today())
    # Alerts come, go and are acknowledged between builds.
    return live_json_response(request, body)
