"""Usage of nobody's as a list to work off: what used it, what that costs, and the line that gives it to a tenant. Bodies, list and route.

The list is of a month and short: its rows are put together, searched, sorted and cut into pages here.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal
from functools import partial
from typing import Annotated, Any, Literal, get_args

from fastapi import APIRouter, Depends, Query, Request
from pydantic import Field
from starlette.responses import Response, StreamingResponse

from api.admin.queries import UNATTRIBUTED
from api.auth.access import AllTenants
from api.kit import unpriced
from api.kit.body_files import ShortFile, documented_file, header_of, short_file
from api.kit.database import RootReader, Row
from api.kit.money import money, quantity, share, total_of_priced
from api.kit.pagination import Cursor, decode, encode, fingerprint
from api.kit.parameters import NO_NUL, Limit, PageCursor, Period
from api.kit.periods import Month
from api.kit.problems import documented
from api.kit.responses import caching_headers, etag_of, kept_json_response, stop_if_known
from api.kit.schemas import Body, Cents, Channel, Percent, Quantity, ResponseBody, Usd
from api.kit.unpriced import UnpricedUnits
from costs.rules.services import METERS, PROVIDER_OF

Sort = Literal["costCents", "resourceId", "resourceType", "provider", "firstDate", "lastDate", "requestCount"]
DEFAULT_SORT: Sort = "costCents"
# A file has all of them.
MOST_ROWS = 1_000_000
# Who fills the two columns in knows what the tenant is called; we do not.
PLACEHOLDER = "TENANT_ID"
# What a line of tenant_resources.csv can name.
RESOURCE_TYPES = frozenset(kind for row in METERS for kind in row["resource_types"].split())


class UnattributedUsage(Body):
    """What one resource used of one kind."""

    service: str = Field(examples=["twilio_sms"])
    channel: Channel
    unit: str = Field(examples=["segments"])
    unit_count: Quantity
    request_count: int
    cost_cents: Cents
    cost_usd: Usd


class UnattributedResource(Body):
    """A resource that the directory gives to no tenant, or a tenant that it does not know."""

    provider: str = Field(description="As the directory has it; empty for an unknown tenant.", examples=["twilio"])
    resource_type: str = Field(
        description="As the directory has it; `tenant`: the tenant that events name, which the directory does not know.",
        examples=["phone_number"],
    )
    resource_id: str = Field(
        description="Empty: the provider's account itself, or events that name no tenant. A phone number that is not ours is its hash.",
        examples=["+15550100"],
    )
    is_clear: bool = Field(description="Whether resourceId is what the provider calls it; else find it by recordId.")
    record_id: str | None = Field(
        description="One of its records, at the provider or, of tracked usage, of its events.", examples=["SM0123"]
    )
    first_date: date = Field(description="In the period.")
    last_date: date
    request_count: int
    cost_cents: Cents
    cost_usd: Usd
    percent_of_total: Percent | None
    unpriced_unit_count: Quantity | None = Field(description="Null if the units differ.")
    unpriced_units: list[UnpricedUnits] = Field(description="Of every unit, by kind.")
    usage: list[UnattributedUsage] = Field(description="By service, channel and unit; the dearest first.")
    directory_file: str | None = Field(description="Where `directoryLine` belongs.", examples=["tenant_resources.csv"])
    directory_line: str | None = Field(
        description="What to add to the tenant directory, once the tenant's id stands in it; null where the resource's name is not known.",
        examples=["TENANT_ID,twilio,phone_number,+15550100,2026-11-03,"],
    )


class UnattributedTotals(Body):
    """Over all resources that the search lets through, not only over the page."""

    resources: int
    cost_cents: Cents
    cost_usd: Usd
    unpriced_unit_count: Quantity | None = Field(description="Null if the units differ.")
    unpriced_units: list[UnpricedUnits] = Field(description="Of every unit, by kind.")


class Unattributed(ResponseBody):
    """What nobody's usage of a month was used by, the dearest first unless asked otherwise."""

    period: str = Field(examples=["2026-11"])
    items: list[UnattributedResource]
    totals: UnattributedTotals
    next_cursor: str | None


@dataclass(frozen=True, slots=True)
class UnattributedList:
    """What the list is asked for; None = no search."""

    month: Month
    search: str | None = None
    sort: Sort = DEFAULT_SORT
    descending: bool = True
    limit: int = 50
    cursor: str | None = None

    def fingerprint(self) -> str:
        """Return what a cursor is bound to."""
        return fingerprint("unattributed", self.month.key, self.search, self.sort, self.descending)


async def unattributed_list(
    month: Period,
    search: Annotated[
        str | None, Query(pattern=NO_NUL, max_length=200, description="Part of the resource, its type or its provider.")
    ] = None,
    sort: Annotated[Sort, Query(description=f"One of {', '.join(get_args(Sort))}.")] = DEFAULT_SORT,
    order: Literal["asc", "desc"] = "desc",
    limit: Limit = 50,
    cursor: PageCursor = None,
) -> UnattributedList:
    return UnattributedList(month, search or None, sort, order == "desc", limit, cursor)


async def unattributed(reader: RootReader, selection: UnattributedList) -> Unattributed:
    """Return one page of the list.

    Raises:
        InvalidInput: the cursor is not of this list.
    """
    after = decode(selection.cursor, selection.fingerprint()) if selection.cursor is not None else None
    rows = await reader.rows(UNATTRIBUTED, first_day=selection.month.first, last_day=selection.month.last)
    grouped: dict[tuple[str, str, str], list[Row]] = {}
    for row in rows:
        grouped.setdefault(_key(row), []).append(row)
    whole = total_of_priced(row["cost_cents"] for row in rows)
    found = [
        (key, group, resource)
        for key, group in grouped.items()
        if _is_meant(resource := _resource(key, group, whole), selection.search)
    ]
    # Equals stand by their names, whichever way the list is sorted.
    found.sort(key=lambda entry: entry[0])
    found.sort(key=lambda entry: _sort_key(selection.sort, entry[1], entry[2]), reverse=selection.descending)
    place = 0
    if after is not None:
        places = {"\x1f".join(key): index for index, (key, _, _) in enumerate(found)}
        # Gone since: the list begins anew rather than to leave something out.
        place = places.get(after.text or "", -1) + 1
    page = found[place : place + selection.limit]
    following = None
    if place + len(page) < len(found):
        following = encode(Cursor("", text="\x1f".join(page[-1][0])), selection.fingerprint())
    shown = [row for _, group, _ in found for row in group]
    return Unattributed(
        data_as_of=reader.data_as_of,
        period=selection.month.key,
        items=[resource for _, _, resource in page],
        totals=UnattributedTotals(
            resources=len(found),
            **money("cost", total_of_priced(row["cost_cents"] for row in shown)),
            **unpriced.of_several(_unpriced(shown)),
        ),
        next_cursor=following,
    )


def _key(row: Row) -> tuple[str, str, str]:
    """Return what a row is of: an unknown tenant is one, whatever it used."""
    provider = "" if row["resource_type"] == "tenant" else PROVIDER_OF.get(row["service"], row["service"])
    return str(provider), str(row["resource_type"]), str(row["resource_id"])


def _unpriced(rows: Sequence[Row]) -> dict[str, Any]:
    return unpriced.together({row["unit"]: row["unpriced_unit_count"]} for row in rows if row["unpriced_unit_count"])


def _resource(key: tuple[str, str, str], rows: Sequence[Row], whole: Decimal | int | None) -> UnattributedResource:
    provider, resource_type, resource_id = key
    number = rows[0]["phone_number"]
    is_clear = resource_type != "phone_number" or number is not None
    cost = total_of_priced(row["cost_cents"] for row in rows)
    first = min(row["first_date"] for row in rows)
    file, line = _to_add(provider, resource_type, number or resource_id, first) if is_clear else (None, None)
    dearest = sorted(rows, key=lambda row: -1 if row["cost_cents"] is None else row["cost_cents"], reverse=True)
    return UnattributedResource(
        provider=provider,
        resource_type=resource_type,
        resource_id=number or resource_id,
        is_clear=is_clear,
        record_id=max(row["record_id"] for row in rows) or None,
        first_date=first,
        last_date=max(row["last_date"] for row in rows),
        request_count=sum(int(row["request_count"]) for row in rows),
        **money("cost", cost),
        percent_of_total=share(cost, whole),
        **unpriced.of_several(_unpriced(rows)),
        usage=[
            UnattributedUsage(
                service=row["service"],
                channel=row["channel"],
                unit=row["unit"],
                unit_count=quantity(row["unit_count"]),
                request_count=int(row["request_count"]),
                **money("cost", row["cost_cents"]),
            )
            for row in dearest
        ],
        directory_file=file,
        directory_line=line,
    )


def _to_add(provider: str, resource_type: str, resource_id: str, first: date) -> tuple[str | None, str | None]:
    """Return the directory's file and its new line, as CSV has it; None where no line would do it."""
    if not resource_id:
        return None, None
    if resource_type == "tenant":
        return "tenants.csv", _csv(resource_id, "NAME", "PLAN", "active", "false")
    if resource_type in RESOURCE_TYPES:
        return "tenant_resources.csv", _csv(PLACEHOLDER, provider, resource_type, resource_id, first.isoformat(), "")
    return None, None


def _csv(*cells: str) -> str:
    line = io.StringIO()
    csv.writer(line, lineterminator="").writerow(cells)
    return line.getvalue()


def _is_meant(resource: UnattributedResource, search: str | None) -> bool:
    wanted = (search or "").casefold()
    words = (resource.provider, resource.resource_type, resource.resource_id, resource.record_id or "")
    return any(wanted in word.casefold() for word in words)


def _sort_key(sort: Sort, rows: Sequence[Row], resource: UnattributedResource) -> Any:
    """Return what to sort by; what is not priced counts as less than nothing."""
    if sort == "costCents":
        cost = total_of_priced(row["cost_cents"] for row in rows)
        return -1 if cost is None else cost
    return {
        "resourceId": resource.resource_id.casefold(),
        "resourceType": resource.resource_type,
        "provider": resource.provider,
        "firstDate": resource.first_date,
        "lastDate": resource.last_date,
        "requestCount": resource.request_count,
    }[sort]


router = APIRouter(tags=["All tenants"], responses=documented(401, 403, 422, 503))


@router.get(
    "/api/admin/usage/unattributed/resources", summary="What used what nobody owns", response_model=Unattributed
)
async def read_unattributed(
    reader: AllTenants, request: Request, selection: Annotated[UnattributedList, Depends(unattributed_list)]
) -> Response:
    """What the usage of `unattributed` was used by: numbers, projects, subusers and tenants that the directory does not know, with what
    they cost and the line that gives each to a tenant.
    """
    return await kept_json_response(request, reader, partial(unattributed, reader, selection))


@router.get(
    "/api/admin/usage/unattributed/resources/export",
    summary="What used what nobody owns as a file",
    response_class=StreamingResponse,
    responses=documented_file(header_of(UnattributedResource)),
)
async def read_unattributed_export(
    reader: AllTenants, request: Request, selection: Annotated[UnattributedList, Depends(unattributed_list)]
) -> Response:
    """The list as a CSV file, all of it."""
    await stop_if_known(request, reader)
    file = await unattributed_file(reader, selection)
    return file.response(caching_headers(etag_of(request, reader)))


async def unattributed_file(reader: RootReader, selection: UnattributedList) -> ShortFile:
    """Return the whole list as a file to keep."""
    body = await unattributed(reader, replace(selection, limit=MOST_ROWS, cursor=None))
    name = f"unattributed-{selection.month.key}.csv"
    return short_file(UnattributedResource, body.items, name, body.data_as_of)
