"""HTTP of the tenant's routes: parameters in, caching, and nothing else."""

from __future__ import annotations

from decimal import Decimal
from functools import partial
from typing import Annotated

from fastapi import APIRouter, Path, Query, Request
from starlette.responses import Response

from api.auth.access import OneTenant
from api.kit.parameters import NO_NUL, Days, Period, PeriodDays
from api.kit.periods import Month
from api.kit.problems import documented
from api.kit.responses import json_response, kept_json_response, live_json_response, stop_if_known
from api.kit.services import services
from api.usage import service
from api.usage.schemas import ChannelAccess, DailySeries, FeatureBreakdown, UsageStatus, UsageSummary
from api.usage.selection import Selection

router = APIRouter(tags=["Tenant usage"], responses=documented(401, 404, 422, 503))

MAX_UNITS = 10**15


@router.get("/api/billing/usage/summary", summary="A period's usage, caps and costs", response_model=UsageSummary)
@router.get(
    "/api/admin/usage/summary",
    summary="A period's usage, caps and costs (older path)",
    response_model=UsageSummary,
    description="As /api/billing/usage/summary.",
    deprecated=True,
)
async def read_summary(reader: OneTenant, request: Request, period: Period) -> Response:
    """What a period's usage, caps, plan and costs are, with the last 30 days."""
    today = services(request).today()
    return await kept_json_response(request, reader, partial(service.summary, reader, period, today))


@router.get("/api/billing/usage/status", summary="Usage so far against the caps", response_model=UsageStatus)
async def read_status(reader: OneTenant, request: Request, period: Period) -> Response:
    """What is used so far against the caps, per channel and overall."""
    await stop_if_known(request, reader)
    body = await service.status(reader, period)
    return json_response(request, reader, body)


@router.get("/api/billing/usage/daily", summary="Usage by day, week or month", response_model=DailySeries)
@router.get(
    "/api/admin/usage/daily",
    summary="Usage by day, week or month (older path)",
    response_model=DailySeries,
    description="As /api/billing/usage/daily.",
    deprecated=True,
)
async def read_daily(reader: OneTenant, request: Request, days: Days, selection: Selection) -> Response:
    """Usage per day, week or month and channel, by service, feature, operation or model too where asked.

    Dense: every day, each channel that was used in the range or has a limit; of groups those that were used in the range.
    """
    await stop_if_known(request, reader)
    body = await service.daily(reader, days, services(request).lookback_days, selection)
    return json_response(request, reader, body)


@router.get("/api/billing/usage/features", summary="A period's usage by feature", response_model=FeatureBreakdown)
async def read_features(reader: OneTenant, request: Request, days: PeriodDays) -> Response:
    """Usage and cost per feature, channel and source, the dearest first; of a month, or of the days from `from` to `to`."""
    await stop_if_known(request, reader)
    body = await service.features(reader, days)
    return json_response(request, reader, body)


@router.get(
    "/api/billing/usage/channels/{channel}/access",
    summary="May a channel be used for so much more?",
    response_model=ChannelAccess,
)
async def read_access(
    reader: OneTenant,
    request: Request,
    channel: Annotated[str, Path(pattern=NO_NUL, examples=["sms"])],
    units: Annotated[
        Decimal, Query(gt=0, le=MAX_UNITS, description="How many more units are wanted.", examples=[1])
    ] = Decimal(1),
) -> Response:
    """Whether the tenant may use so many more units of a channel. Reserves nothing."""
    # Never from a replica: what it does not know yet would be let through.
    current = services(request).primary.tenant(reader.tenant_id)
    body = await service.access(current, channel, units, Month.of(services(request).today()))
    return live_json_response(request, body)
