"""HTTP of the alerts: parameters in, caching, and nothing else."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Query, Request
from starlette.responses import Response

from api.admin.endpoints import Limit, PageCursor, comma_list
from api.alerts import service
from api.alerts.schemas import Alerts
from api.alerts.service import AlertList
from api.auth.access import NO_NUL, AllTenants
from api.problems import InvalidInput, documented
from api.responses import live_json_response

router = APIRouter(tags=["All tenants"], responses=documented(401, 403, 422, 503))

TYPES = ("threshold", "spike", "anomaly", "cap", "unpriced", "drift")
SEVERITIES = ("info", "warning", "critical")
RESOLVED = {"open": False, "resolved": True, "all": None}


async def alert_list(
    acknowledged: Annotated[
        bool | None, Query(description="Only those that somebody has, or nobody has, seen.")
    ] = None,
    state: Annotated[Literal["open", "resolved", "all"], Query(description="open: the condition holds.")] = "open",
    alert_type: Annotated[
        str | None,
        Query(alias="alertType", description=f"{', '.join(TYPES)}; several separated by commas.", examples=["cap"]),
    ] = None,
    severity: Annotated[
        str | None,
        Query(description=f"{', '.join(SEVERITIES)}; several separated by commas.", examples=["critical"]),
    ] = None,
    tenant_id: Annotated[str | None, Query(alias="tenantId", pattern=NO_NUL, description="Only this tenant.")] = None,
    limit: Limit = 50,
    cursor: PageCursor = None,
) -> AlertList:
    return AlertList(
        acknowledged=acknowledged,
        resolved=RESOLVED[state],
        tenant=tenant_id or None,
        types=_known("alertType", alert_type, TYPES),
        severities=_known("severity", severity, SEVERITIES),
        limit=limit,
        cursor=cursor,
    )


def _known(field: str, text: str | None, words: tuple[str, ...]) -> tuple[str, ...] | None:
    wanted = comma_list(text)
    if unknown := set(wanted or ()) - set(words):
        raise InvalidInput(field, f"{sorted(unknown)[0]} is none of {', '.join(words)}")
    return wanted


@router.get("/api/admin/usage/alerts", response_model=Alerts)
async def read_alerts(
    reader: AllTenants, request: Request, wanted: Annotated[AlertList, Depends(alert_list)]
) -> Response:
    """What somebody should look at, over all tenants; open alerts unless asked otherwise, the newest first."""
    body = await service.list_alerts(reader, wanted)
    # Alerts change between builds: somebody acknowledges one, the hourly evaluation resolves another.
    return live_json_response(request, body)
