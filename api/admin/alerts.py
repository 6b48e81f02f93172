"""Alerts over HTTP: the list for the owner with its file, and a tenant's open ones for its detail page. Bodies and routes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Annotated, Any, Literal, get_args

from fastapi import APIRouter, Depends, Query, Request
from pydantic import Field
from starlette.responses import Response, StreamingResponse

from api.admin.queries import ALERTS, ALERTS_EXPORT, OPEN_ALERTS, OPEN_ALERTS_OF_TENANT
from api.auth.access import AllTenants
from api.kit.body_files import ShortFile, documented_file, header_of, short_file
from api.kit.database import MAX_ID, RootReader, TenantReader
from api.kit.files import CSV
from api.kit.pagination import Cursor, decode, encode, fingerprint, unknown
from api.kit.parameters import NO_NUL, Limit, PageCursor
from api.kit.problems import documented
from api.kit.responses import live_json_response, live_response
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
Sort = Literal["createdAt", "severity", "type", "tenantName", "message", "acknowledged", "lastSentAt"]
DEFAULT_SORT: Sort = "createdAt"


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


def alert_of(row: Mapping[str, Any]) -> Alert:
    """Return one alert of a list."""

    def instant(value: datetime | str | None) -> datetime | None:
        moment = datetime.fromisoformat(value) if isinstance(value, str) else value
        return moment.astimezone(UTC) if moment else None

    times = ("acknowledged_at", "resolved_at", "created_at", "last_sent_at", "snoozed_until")
    notes = [
        AlertNote(**{**note, "at": instant(note["at"]), "snoozed_until": instant(note["snoozed_until"])})
        for note in row["notes"]
    ]
    known = {name: row[name] for name in Alert.model_fields} | {"details": _figures(row["details"]), "notes": notes}
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
    return [alert_of(entry) for entry in row["alerts"]] if row else []


@dataclass(frozen=True, slots=True)
class AlertList:
    """What a list of alerts is asked for; None = no such filter."""

    acknowledged: bool | None = None
    state: Literal["open", "resolved"] | None = None
    tenant: str | None = None
    alert_type: AlertType | None = None
    severity: Severity | None = None
    search: str | None = None
    sort: Sort = DEFAULT_SORT
    descending: bool = True
    limit: int = 50
    cursor: str | None = None

    def filters(self) -> dict[str, Any]:
        """Return the query's parameters but for the place."""
        return {
            "acknowledged": self.acknowledged,
            "open": None if self.state is None else self.state == "open",
            "tenant": self.tenant,
            "alert_type": self.alert_type,
            "severity": self.severity,
            "search": self.search,
            "sort": self.sort,
            "descending": self.descending,
        }

    def fingerprint(self) -> str:
        """Return what a cursor is bound to."""
        return fingerprint("alerts", *self.filters().values())


async def alerts(reader: RootReader, selection: AlertList) -> Alerts:
    """Return one page of alerts.

    Raises:
        InvalidInput: the cursor is not of this list.
    """
    after = decode(selection.cursor, selection.fingerprint()) if selection.cursor is not None else None
    if after is not None and not (
        after.tenant_id.isascii() and after.tenant_id.isdigit() and int(after.tenant_id) <= MAX_ID
    ):
        raise unknown()
    rows = await reader.rows(
        ALERTS,
        **selection.filters(),
        after_id=int(after.tenant_id) if after else None,
        after_number=after.number if after else None,
        after_text=after.text if after else None,
        limit=selection.limit,
    )
    counted = await reader.row(OPEN_ALERTS)
    page = rows[: selection.limit]
    following = None
    if len(rows) > selection.limit:
        last = page[-1]
        number = None if last["number_key"] is None else Decimal(last["number_key"])
        following = encode(Cursor(str(last["id"]), number, last["text_key"]), selection.fingerprint())
    return Alerts(
        data_as_of=reader.data_as_of,
        items=[alert_of(row) for row in page],
        totals=AlertTotals(
            open=counted["open_count"],
            unacknowledged=counted["unacknowledged_count"],
            critical=counted["critical_count"],
            warning=counted["warning_count"],
            info=counted["info_count"],
        ),
        next_cursor=following,
    )


async def alerts_file(reader: RootReader, selection: AlertList) -> ShortFile:
    """Return the whole filtered set in its order as a file to keep: whole, for its tag is of what it says."""
    rows = await reader.rows(ALERTS_EXPORT, **selection.filters())
    return short_file(Alert, (alert_of(row) for row in rows), "alerts.csv", reader.data_as_of)


router = APIRouter(tags=["All tenants"], responses=documented(401, 403, 422, 503))


async def alert_list(
    acknowledged: Annotated[bool | None, Query(description="Only those that were, or were not, acknowledged.")] = None,
    state: Annotated[Literal["open", "resolved"] | None, Query(description="Default: both.")] = None,
    tenant_id: Annotated[str | None, Query(alias="tenantId", pattern=NO_NUL, description="Only this tenant.")] = None,
    alert_type: Annotated[AlertType | None, Query(alias="type", description="Only this type.")] = None,
    severity: Annotated[Severity | None, Query(description="Only this severity.")] = None,
    search: Annotated[
        str | None,
        Query(pattern=NO_NUL, max_length=200, description="Part of the message, its subject, the tenant's name or id."),
    ] = None,
    sort: Annotated[Sort, Query(description=f"One of {', '.join(get_args(Sort))}.")] = DEFAULT_SORT,
    order: Literal["asc", "desc"] = "desc",
    limit: Limit = 50,
    cursor: PageCursor = None,
) -> AlertList:
    return AlertList(
        acknowledged=acknowledged,
        state=state,
        tenant=tenant_id or None,
        alert_type=alert_type,
        severity=severity,
        search=search or None,
        sort=sort,
        descending=order == "desc",
        limit=limit,
        cursor=cursor,
    )


Selection = Annotated[AlertList, Depends(alert_list)]


@router.get("/api/admin/usage/alerts", summary="Alerts of all tenants", response_model=Alerts)
async def read_alerts(reader: AllTenants, request: Request, selection: Selection) -> Response:
    """Alerts of all tenants, open and resolved, the newest first unless asked otherwise."""
    return live_json_response(request, await alerts(reader, selection))


@router.get(
    "/api/admin/usage/alerts/export",
    summary="Alerts of all tenants as a file",
    response_class=StreamingResponse,
    responses=documented_file(header_of(Alert)),
)
async def read_alerts_export(reader: AllTenants, request: Request, selection: Selection) -> Response:
    """The list as a CSV file, all of it: `limit` and `cursor` do not matter."""
    file = await alerts_file(reader, selection)
    return live_response(request, file.content, CSV, file.headers)
