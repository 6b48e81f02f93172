"""What all tenants cost by day in a month, by provider, service or tenant, beside the month before. Bodies, sums and route."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from functools import partial
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request
from pydantic import Field
from starlette.responses import Response

from api.admin.queries import DEAREST_TENANT_DAYS, SOURCES, SYSTEM_DAYS
from api.auth.access import AllTenants
from api.kit.coverage import PROVIDERS, UnknownDays, tables_by, unknown_days
from api.kit.database import RootReader, Row
from api.kit.money import Exact, money, share, total, total_of_priced
from api.kit.parameters import Period
from api.kit.periods import DayRange, Month
from api.kit.problems import documented
from api.kit.responses import kept_json_response
from api.kit.schemas import Body, Cents, Percent, ResponseBody, Usd
from api.kit.services import services
from costs.rules.services import METERS, PROVIDER_OF

GroupBy = Literal["provider", "service", "tenant"]
# More than can be told apart in a chart; the rest of a thousand tenants is one group.
DEAREST = 8
OTHERS = ""
PROVIDER_NAMES = {row["provider"]: row["focus_provider"] for row in METERS}
SERVICE_NAMES = {row["service"]: row["service_label"] for row in METERS}
# Raw tables of each group; a tenant's usage is of any of them.
TABLES: dict[GroupBy, list[tuple[str | None, Sequence[str]]]] = {
    "provider": [*tables_by("provider").items()],
    "service": [*tables_by("service").items()],
    "tenant": [(None, tuple(PROVIDERS))],
}


class GroupOnDay(Body):
    """What one group cost on a day."""

    key: str
    request_count: int
    cost_cents: Cents
    cost_usd: Usd


class SystemDay(Body):
    """What all tenants cost on a day."""

    date: dt.date
    request_count: int
    cost_cents: Cents
    cost_usd: Usd
    groups: list[GroupOnDay] = Field(description="Those that used something, in the order of the body's groups.")


class PreviousDay(Body):
    date: dt.date
    cost_cents: Cents
    cost_usd: Usd


class CostGroup(Body):
    """A provider, a service or a tenant in the month."""

    key: str = Field(description="Empty: all tenants that are not among the dearest.", examples=["twilio"])
    name: str = Field(examples=["Twilio"])
    request_count: int
    cost_cents: Cents
    cost_usd: Usd
    percent_of_total: Percent | None
    compared_cost_cents: Cents = Field(description="Of the days that are compared.")
    compared_cost_usd: Usd
    previous_cost_cents: Cents = Field(description="Of the same days of the month before.")
    previous_cost_usd: Usd
    change_percent: Percent | None = Field(
        description="Of the compared days; null if they cost nothing in the month before."
    )


class GroupGap(UnknownDays):
    """Days of a group whose zeros are not known to be zeros, and whose other figures may be too low."""

    key: str | None = Field(
        description="The group's; null where groups are tenants: of all of them together.", examples=["twilio"]
    )


class SystemDaily(ResponseBody):
    """All tenants' cost in a month, day by day."""

    period: str = Field(examples=["2026-11"])
    start: dt.date
    end: dt.date = Field(description="Included: today, or the month's last day.")
    group_by: GroupBy
    compared_days: int = Field(
        description="The month's complete days, which are compared with as many of the month before."
    )
    request_count: int
    cost_cents: Cents
    cost_usd: Usd
    compared_cost_cents: Cents = Field(description="Of the days that are compared.")
    compared_cost_usd: Usd
    previous_cost_cents: Cents = Field(description="Of the same days of the month before.")
    previous_cost_usd: Usd
    change_percent: Percent | None
    previous_month_cost_cents: Cents = Field(description="Of the whole month before.")
    previous_month_cost_usd: Usd
    groups: list[CostGroup] = Field(description="The dearest first; of tenants the rest together, last.")
    days: list[SystemDay] = Field(description="Every day.")
    previous_days: list[PreviousDay] = Field(description="Every day of the month before.")
    gaps: list[GroupGap] = Field(
        description="What is not known of the month's days, per provider or service that was ever read, also of those without usage."
    )


@dataclass(frozen=True, slots=True)
class _Used:
    """What a group used on a day, in exact cents."""

    day: date
    key: str
    requests: int
    cost: Exact | None


def _cost(used: Iterable[_Used]) -> Exact | None:
    return total_of_priced(entry.cost for entry in used)


def _difference(whole: Exact | None, part: Exact | None) -> Exact | None:
    return whole if whole is None or part is None else total((whole, Decimal(part).copy_negate()))


async def system_daily(reader: RootReader, month: Month, group_by: GroupBy, today: date) -> SystemDaily:
    """Return a month's cost by day, of all tenants."""
    before = Month.of(month.first - timedelta(days=1))
    rows = await reader.rows(SYSTEM_DAYS, months=[before.key, month.key])
    key_of: Mapping[str, str] = PROVIDER_OF if group_by == "provider" else {}
    used = [
        _Used(
            row["date"], key_of.get(row["service"], str(row["service"])), int(row["request_count"]), row["cost_cents"]
        )
        for row in rows
    ]
    names: Mapping[str, str] = PROVIDER_NAMES if group_by == "provider" else SERVICE_NAMES
    if group_by == "tenant":
        found = await reader.rows(
            DEAREST_TENANT_DAYS,
            month=month.key,
            first_day=before.first,
            last_day=month.last,
            tenants=DEAREST,
        )
        names = {OTHERS: "All others", **{row["tenant_id"]: row["tenant_name"] for row in found}}
        dearest = [_Used(row["date"], row["tenant_id"], int(row["request_count"]), row["cost_cents"]) for row in found]
        used = [*dearest, *_rest(used, dearest)]
    end = min(month.last, today)
    days = DayRange(month.first, end)
    answers = await reader.row(SOURCES, tables=list(PROVIDERS), first_day=days.first, last_day=days.last)
    gaps = _gaps(group_by, answers["sources"], days)
    return _body(reader.data_as_of, month, before, group_by, used, names, gaps, today)


def _gaps(group_by: GroupBy, sources: Sequence[Row], days: DayRange) -> list[GroupGap]:
    return [
        GroupGap(key=key, **run.model_dump())
        for key, tables in TABLES[group_by]
        for run in unknown_days(tables, sources, days)
    ]


def _rest(whole: Sequence[_Used], parts: Sequence[_Used]) -> list[_Used]:
    """Return what of each day is none of the parts'."""
    rest = []
    for day in sorted({entry.day for entry in whole}):
        of_day, of_parts = ([entry for entry in some if entry.day == day] for some in (whole, parts))
        requests = sum(entry.requests for entry in of_day) - sum(entry.requests for entry in of_parts)
        cost = _difference(_cost(of_day), _cost(of_parts))
        if requests or cost:
            rest.append(_Used(day, OTHERS, requests, cost))
    return rest


def _body(
    data_as_of: dt.datetime | None,
    month: Month,
    before: Month,
    group_by: GroupBy,
    used: Sequence[_Used],
    names: Mapping[str, str],
    gaps: Sequence[GroupGap],
    today: date,
) -> SystemDaily:
    end = min(month.last, today)
    # Today is not over; the month before may be shorter.
    complete = (end - month.first).days + (end < today)
    days = DayRange(month.first, end).days()
    before_days = DayRange(before.first, before.last).days()
    compared, same = set(days[:complete]), set(before_days[:complete])
    if month.last < today:
        same = set(before_days)
    here = [entry for entry in used if days[0] <= entry.day <= days[-1]]
    there = [entry for entry in used if before.first <= entry.day <= before.last]
    whole = _cost(here)

    def comparison(key: str | None) -> dict[str, Any]:
        now = _cost(entry for entry in here if entry.day in compared and key in (None, entry.key))
        then = _cost(entry for entry in there if entry.day in same and key in (None, entry.key))
        return {
            **money("compared_cost", now),
            **money("previous_cost", then),
            "change_percent": share(_difference(now, then), then),
        }

    by_day: dict[date, list[_Used]] = {day: [] for day in (*before_days, *days)}
    for entry in (*here, *there):
        by_day[entry.day].append(entry)
    costs = {key: _cost(entry for entry in here if entry.key == key) for key in {entry.key for entry in here}}
    # What is not priced counts as less than nothing.
    dearest = {key: Decimal(-1) if cost is None else Decimal(cost) for key, cost in costs.items()}
    keys = sorted(costs, key=lambda key: (key == OTHERS, -dearest[key], key))
    return SystemDaily(
        data_as_of=data_as_of,
        period=month.key,
        start=month.first,
        end=end,
        group_by=group_by,
        compared_days=complete,
        request_count=sum(entry.requests for entry in here),
        **money("cost", whole),
        **comparison(None),
        **money("previous_month_cost", _cost(there)),
        groups=[
            CostGroup(
                key=key,
                name=names.get(key, key),
                request_count=sum(entry.requests for entry in here if entry.key == key),
                **money("cost", costs[key]),
                percent_of_total=share(costs[key], whole),
                **comparison(key),
            )
            for key in keys
        ],
        days=[_day(day, by_day[day], keys) for day in days],
        previous_days=[PreviousDay(date=day, **money("cost", _cost(by_day[day]))) for day in before_days],
        gaps=list(gaps),
    )


def _day(day: date, used: Sequence[_Used], keys: Sequence[str]) -> SystemDay:
    groups = []
    for key in keys:
        own = [entry for entry in used if entry.key == key]
        if own:
            groups.append(
                GroupOnDay(key=key, request_count=sum(entry.requests for entry in own), **money("cost", _cost(own)))
            )
    return SystemDay(
        date=day, request_count=sum(entry.requests for entry in used), **money("cost", _cost(used)), groups=groups
    )


router = APIRouter(tags=["All tenants"], responses=documented(401, 403, 422, 503))


@router.get("/api/admin/billing/usage/system-daily", summary="All tenants' cost by day", response_model=SystemDaily)
async def read_system_daily(
    reader: AllTenants,
    request: Request,
    month: Period,
    group_by: Annotated[
        GroupBy,
        Query(alias="groupBy", description=f"By provider, service, or tenant (the {DEAREST} dearest, and the rest)."),
    ] = "provider",
) -> Response:
    """What all tenants cost on each day of a month, by provider, service or tenant, against the same days of the month before."""
    today = services(request).today()
    return await kept_json_response(request, reader, partial(system_daily, reader, month, group_by, today))
