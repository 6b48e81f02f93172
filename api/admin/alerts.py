"""Alerts over HTTP: the list for the owner, and a tenant's open ones for its detail page. Query, bodies and route."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request
from pydantic import Field
from starlette.responses import Response

from api.admin.queries import ALERTS, OPEN_ALERTS, OPEN_ALERTS_OF_TENANT
from api.auth.access import AllTenants
from api.kit.database import MAX_ID, RootReader, TenantReader
from api.kit.pagination import Cursor, decode, encode, fingerprint, unknown
from api.kit.parameters import NO_NUL, Limit, PageCursor
from api.kit.problems import documented
from api.kit.responses import live_json_response
from api.kit.schemas import Body, ResponseBody

AlertType = Literal[
    "threshold",
    "spike",
    "anomaly",
    "cap",
    "unpriced",
    "drift",
    "unknown_tenant",
    "run_failed",
    "provider",
    "stale_source",
    "check_failed",
    "backlog",
]
Severity = Literal["info", "warning", "critical"]


class AlertNote(Body):
    """What somebody said of an alert, or until when they put it off."""

    by: str = Field(examples=["kim@example.com"])
    at: datetime
    comment: str | None
    snoozed_until: datetime | None


class Alert(Body):
    """Something that somebody should look at."""

    id: int
    tenant_id: str = Field(examples=["acme"])
    tenant_name: str = Field(examples=["Acme Homes"])
    alert_type: AlertType
    severity: Severity
    channel: str | None = Field(description="Null: about the tenant as a whole.", examples=["sms"])
    message: str = Field(examples=["Monthly usage has exceeded $50.00"])
    details: dict[str, Any] = Field(description="The figures behind the message; costs in whole cents.")
    acknowledged: bool
    acknowledged_at: datetime | None
    acknowledged_by: str | None
    resolved_at: datetime | None = Field(description="When the condition had ended; null while it lasts.")
    created_at: datetime
    last_sent_at: datetime | None = Field(description="When the administrator was last notified; null: never.")
    subject: str | None = Field(
        description="What it is about beside tenant and channel: a provider, a schedule, an asset.", examples=["twilio"]
    )
    snoozed_until: datetime | None = Field(description="No message is sent before then; null: it was not put off.")
    notes: list[AlertNote] = Field(description="The oldest first.")


class AlertTotals(Body):
    """How many conditions last, over all tenants and whatever the list is filtered by."""

    open: int
    unacknowledged: int = Field(description="Of the open ones.")
    critical: int = Field(description="Of the open ones, like the next two.")
    warning: int
    info: int


class Alerts(ResponseBody):
    """A page of alerts, newest first."""

    items: list[Alert]
    totals: AlertTotals
    next_cursor: str | None


def _alert(row: Mapping[str, Any]) -> Alert:
    def instant(value: datetime | str | None) -> datetime | None:
        moment = datetime.fromisoformat(value) if isinstance(value, str) else value
        return moment.astimezone(UTC) if moment else None

    times = ("acknowledged_at", "resolved_at", "created_at", "last_sent_at", "snoozed_until")
    notes = [
        AlertNote(**{**note, "at": instant(note["at"]), "snoozed_until": instant(note["snoozed_until"])})
        for note in row["notes"]
    ]
    known = {**row, "details": _figures(row["details"]), "notes": notes}
    return Alert(**{**known, **{name: instant(row[name]) for name in times}})


def _figures(value: Any) -> Any:
    """Return JSON whose numbers are as they were written: the reader gives them as Decimal."""
    if isinstance(value, Decimal):
        return float(value)
    if isinstance(value, dict):
        return {key: _figures(part) for key, part in value.items()}
    return [_figures(part) for part in value] if isinstance(value, list) else value


async def open_alerts(reader: TenantReader) -> list[Alert]:
    """Return a tenant's open alerts, newest first."""
    row = await reader.row(OPEN_ALERTS_OF_TENANT)
    return [_alert(entry) for entry in row["alerts"]] if row else []


async def alerts(
    reader: RootReader,
    *,
    acknowledged: bool | None,
    state: str | None,
    tenant: str | None,
    alert_type: str | None,
    severity: str | None,
    limit: int,
    cursor: str | None,
) -> Alerts:
    """Return one page of alerts.

    Raises:
        InvalidInput: the cursor is not of this list.
    """
    query = fingerprint("alerts", acknowledged, state, tenant, alert_type, severity)
    after = decode(cursor, query) if cursor is not None else None
    if after is not None and (after.number is None or not 0 <= after.number <= MAX_ID):
        raise unknown()
    rows = await reader.rows(
        ALERTS,
        acknowledged=acknowledged,
        open=None if state is None else state == "open",
        tenant=tenant,
        alert_type=alert_type,
        severity=severity,
        before=int(after.number) if after and after.number is not None else None,
        limit=limit,
    )
    counted = await reader.row(OPEN_ALERTS)
    page = rows[:limit]
    following = encode(Cursor("", Decimal(page[-1]["id"])), query) if len(rows) > limit else None
    return Alerts(
        data_as_of=reader.data_as_of,
        items=[_alert(row) for row in page],
        totals=AlertTotals(
            open=counted["open_count"],
            unacknowledged=counted["unacknowledged_count"],
            critical=counted["critical_count"],
            warning=counted["warning_count"],
            info=counted["info_count"],
        ),
        next_cursor=following,
    )


router = APIRouter(tags=["All tenants"], responses=documented(401, 403, 422, 503))


@router.get("/api/admin/usage/alerts", summary="Alerts of all tenants", response_model=Alerts)
async def read_alerts(
    reader: AllTenants,
    request: Request,
    acknowledged: Annotated[bool | None, Query(description="Only those that were, or were not, acknowledged.")] = None,
    state: Annotated[Literal["open", "resolved"] | None, Query(description="Default: both.")] = None,
    tenant_id: Annotated[str | None, Query(alias="tenantId", pattern=NO_NUL, description="Only this tenant.")] = None,
    alert_type: Annotated[AlertType | None, Query(alias="type", description="Only this type.")] = None,
    severity: Annotated[Severity | None, Query(description="Only this severity.")] = None,
    limit: Limit = 50,
    cursor: PageCursor = None,
) -> Response:
    """Alerts of all tenants, open and resolved, newest first."""
    body = await alerts(
        reader,
        acknowledged=acknowledged,
        state=state,
        tenant=tenant_id or None,
        alert_type=alert_type,
        severity=severity,
        limit=limit,
        cursor=cursor,
    )
    return live_json_response(request, body)
