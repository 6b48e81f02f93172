"""Providers' figures against ours over HTTP: bodies, the list with its file, and routes."""

from __future__ import annotations

import datetime as dt
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Annotated, Any, Literal, get_args

from fastapi import APIRouter, Depends, Query, Request
from pydantic import Field
from starlette.responses import Response, StreamingResponse

from api.admin import queries
from api.auth.access import AllTenants
from api.kit.body_files import csv_file, documented_file, header_of
from api.kit.database import RootReader, Row
from api.kit.money import percent, quantity
from api.kit.pagination import Cursor, decode, encode, fingerprint, unknown
from api.kit.parameters import NO_NUL, Limit, PageCursor, Period, comma_list
from api.kit.periods import Month
from api.kit.problems import InvalidInput, documented
from api.kit.responses import caching_headers, etag_of, json_response, stop_if_known
from api.kit.schemas import Body, Percent, Quantity, ResponseBody

STATES = ("drift", "misattributed", "tracked_only", "partly_tracked", "provider_only", "price_pending", "matched")
Sort = Literal[
    "date",
    "tenantName",
    "service",
    "state",
    "providerUnits",
    "trackedUnits",
    "difference",
    "driftPercent",
    "trackedPercent",
]
DEFAULT_SORT: Sort = "date"


class ReconciliationRow(Body):
    """What a provider counted for a tenant on a day, against what was tracked at the source."""

    tenant_id: str
    tenant_name: str
    date: dt.date
    service: str = Field(examples=["twilio_sms"])
    provider_units: Quantity
    tracked_units: Quantity
    difference: Quantity = Field(description="Provider less tracked.")
    drift_percent: Percent | None = Field(
        description="By how much both differ about the same usage, in percent of the provider's. What nobody tracked is no drift: see trackedPercent."
    )
    tracked_percent: Percent | None = Field(
        description="Tracked units in percent of the provider's; null where that has none."
    )
    state: str = Field(
        description=f"{', '.join(STATES[:-1])} or {STATES[-1]}: the first that applies.", examples=["matched"]
    )
    matched_count: int
    provider_only_count: int
    tracked_only_count: int
    misattributed_count: int
    price_pending_count: int


class Reconciliation(ResponseBody):
    """Provider against tracked in a month, the newest day first unless asked otherwise."""

    period: str = Field(examples=["2026-11"])
    items: list[ReconciliationRow]
    totals: dict[str, int] = Field(description="Rows by state, of the whole filtered set.", examples=[{"matched": 41}])
    next_cursor: str | None


@dataclass(frozen=True, slots=True)
class ReconciliationList:
    """What a list of reconciled days is asked for; None = no such filter."""

    month: Month
    states: tuple[str, ...] | None = None
    tenant: str | None = None
    service: str | None = None
    search: str | None = None
    sort: Sort = DEFAULT_SORT
    descending: bool = True
    limit: int = 50
    cursor: str | None = None

    def filters(self) -> dict[str, Any]:
        """Return the query's parameters but for the place."""
        return {
            "first_day": self.month.first,
            "last_day": self.month.last,
            "states": None if self.states is None else list(self.states),
            "tenant": self.tenant,
            "service": self.service,
            "search": self.search,
            "sort": self.sort,
            "descending": self.descending,
        }

    def fingerprint(self) -> str:
        """Return what a cursor is bound to."""
        return fingerprint("reconciliation", *self.filters().values())


async def reconciliation_list(
    month: Period,
    state: Annotated[
        str | None,
        Query(description=f"{', '.join(STATES)}; several separated by commas.", examples=["drift,misattributed"]),
    ] = None,
    tenant_id: Annotated[str | None, Query(alias="tenantId", pattern=NO_NUL, description="Only this tenant.")] = None,
    service: Annotated[str | None, Query(pattern=NO_NUL, description="Only this service.")] = None,
    search: Annotated[
        str | None, Query(pattern=NO_NUL, max_length=200, description="Part of the tenant's name or id.")
    ] = None,
    sort: Annotated[Sort, Query(description=f"One of {', '.join(get_args(Sort))}.")] = DEFAULT_SORT,
    order: Literal["asc", "desc"] = "desc",
    limit: Limit = 50,
    cursor: PageCursor = None,
) -> ReconciliationList:
    states = comma_list(state)
    if odd := set(states or ()) - set(STATES):
        raise InvalidInput("state", f"unknown state {sorted(odd)[0]}: use {', '.join(STATES)}")
    return ReconciliationList(
        month=month,
        states=states,
        tenant=tenant_id or None,
        service=service or None,
        search=search or None,
        sort=sort,
        descending=order == "desc",
        limit=limit,
        cursor=cursor,
    )


async def reconciliation(reader: RootReader, selection: ReconciliationList) -> Reconciliation:
    """Return one page of a month's reconciled days.

    Raises:
        InvalidInput: the cursor is not of this list.
    """
    day, service, after = None, None, None
    if selection.cursor is not None:
        after = decode(selection.cursor, selection.fingerprint())
        day, service, key = _place(after)
    is_usual = selection.sort == DEFAULT_SORT and selection.descending and selection.search is None
    row = await reader.row(
        queries.NEWEST_RECONCILIATION if is_usual else queries.RECONCILIATION,
        **selection.filters(),
        limit=selection.limit,
        after_day=day,
        after_tenant=after.tenant_id if after else None,
        after_service=service,
        after_number=after.number if after else None,
        after_text=key if after else None,
    )
    rows: Sequence[Row] = row["page"][: selection.limit]
    following = None
    if len(row["page"]) > selection.limit:
        last = rows[-1]
        number = None if last["number_key"] is None else Decimal(last["number_key"])
        place = "\x1f".join((last["date"], last["service"], *([] if last["text_key"] is None else [last["text_key"]])))
        following = encode(Cursor(last["tenant_id"], number, place), selection.fingerprint())
    return Reconciliation(
        data_as_of=reader.data_as_of,
        period=selection.month.key,
        items=[reconciled(entry) for entry in rows],
        totals=row["totals"],
        next_cursor=following,
    )


def _place(after: Cursor) -> tuple[date, str, str | None]:
    """Return the day, the service and the text that was sorted by of the last row of the page before."""
    day, service, *key = (after.text or "").split("\x1f", 2) if "\x1f" in (after.text or "") else ("", "")
    try:
        return date.fromisoformat(day), service, key[0] if key else None
    except ValueError as error:
        raise unknown() from error


def reconciled(row: Row) -> ReconciliationRow:
    """Return one row of the list."""
    day = row["date"]
    return ReconciliationRow(
        tenant_id=row["tenant_id"],
        tenant_name=row["tenant_name"],
        date=day if isinstance(day, date) else date.fromisoformat(day),
        service=row["service"],
        provider_units=quantity(row["provider_units"]),
        tracked_units=quantity(row["tracked_units"]),
        difference=quantity(row["difference"]),
        drift_percent=percent(row["drift_percent"]),
        tracked_percent=percent(row["tracked_percent"]),
        state=row["state"],
        matched_count=row["matched_count"],
        provider_only_count=row["provider_only_count"],
        tracked_only_count=row["tracked_only_count"],
        misattributed_count=row["misattributed_count"],
        price_pending_count=row["price_pending_count"],
    )


def reconciled_rows(
    reader: RootReader, selection: ReconciliationList
) -> AbstractAsyncContextManager[AsyncIterator[Row]]:
    """Yield the rows of the whole filtered set in its order; pages and cursors do not matter."""
    return reader.stream(queries.RECONCILIATION_EXPORT, **selection.filters())


def reconciliation_file(
    rows: AsyncIterator[Row], month: Month, headers: dict[str, str], data_as_of: dt.datetime | None
) -> StreamingResponse:
    """Answer with the rows as a file to keep."""
    return csv_file(ReconciliationRow, rows, reconciled, f"reconciliation-{month.key}.csv", headers, data_as_of)


router = APIRouter(tags=["All tenants"], responses=documented(401, 403, 422, 503))
Selection = Annotated[ReconciliationList, Depends(reconciliation_list)]


@router.get("/api/admin/usage/reconciliation", summary="Providers' figures against ours", response_model=Reconciliation)
async def read_reconciliation(reader: AllTenants, request: Request, selection: Selection) -> Response:
    """The providers' figures against what was tracked at the source, per tenant, day and service."""
    await stop_if_known(request, reader)
    body = await reconciliation(reader, selection)
    return json_response(request, reader, body)


async def exported_reconciliation(
    reader: AllTenants, request: Request, selection: Selection
) -> AsyncIterator[AsyncIterator[Row]]:
    # A dependency, so that the transaction lasts until the last chunk is sent or the client has gone.
    await stop_if_known(request, reader)
    async with reconciled_rows(reader, selection) as rows:
        yield rows


@router.get(
    "/api/admin/usage/reconciliation/export",
    summary="Providers' figures against ours as a file",
    response_class=StreamingResponse,
    responses=documented_file(header_of(ReconciliationRow)),
)
async def read_reconciliation_export(
    reader: AllTenants,
    request: Request,
    selection: Selection,
    rows: Annotated[AsyncIterator[Row], Depends(exported_reconciliation)],
) -> Response:
    """The list as a CSV file, all of it: `limit` and `cursor` do not matter."""
    return reconciliation_file(rows, selection.month, caching_headers(etag_of(request, reader)), reader.data_as_of)
