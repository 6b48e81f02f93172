"""HTTP of the forecast: parameters in, caching, and nothing else."""

from __future__ import annotations

from fastapi import APIRouter, Request
from starlette.responses import Response

from api.auth.access import OneTenant
from api.forecast import service
from api.forecast.schemas import UsageForecast
from api.kit.problems import documented
from api.kit.responses import live_json_response
from api.kit.services import services

router = APIRouter(tags=["Tenant usage"], responses=documented(401, 404, 422, 503))


@router.get("/api/billing/usage/forecast", summary="What this month will come to", response_model=UsageForecast)
async def read_forecast(reader: OneTenant, request: Request) -> Response:
    """What this month will come to, and by which day each cap will be reached, with 80 % intervals."""
    body = await service.usage_forecast(reader, services(request).today())
    # The forecast is written after the build that it belongs to: the build's name does not say whether it is there yet.
    return live_json_response(request, body)
