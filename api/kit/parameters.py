"""Query parameters that several domains take, as FastAPI dependencies."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Query, Request
from fastapi.dependencies.utils import get_flat_params
from fastapi.params import Query as QueryInfo
from fastapi.routing import APIRoute

from api.kit.periods import DayRange, Month, checked_days, parse_day, parse_month, parse_range
from api.kit.problems import InvalidInput
from api.kit.services import services

NO_NUL = r"^[^\x00]*$"  # PostgreSQL text cannot hold it
MAX_PAGE = 500
DEFAULT_RANGE = "30d"

Limit = Annotated[int, Query(ge=1, le=MAX_PAGE, description=f"Rows per page, at most {MAX_PAGE}.")]
PageCursor = Annotated[str | None, Query(description="The nextCursor of the page before.", max_length=4_000)]
MonthText = Annotated[str, Query(description="`current` or a month, `YYYY-MM`.", examples=["2026-11"])]


def comma_list(text: str | None) -> tuple[str, ...] | None:
    """Return the words of ``a,b``; None (no filter) where there are none."""
    values = tuple(sorted({value.strip() for value in (text or "").split(",")} - {""}))
    return values or None


def refuse_unknown(request: Request) -> None:
    """Let through only what the route has a parameter for: a filter with a typing error would be no filter at all.

    Raises:
        InvalidInput: a query parameter is none of the route's; it names the first.
    """
    if not request.query_params:
        return
    route = request.scope["route"]
    assert isinstance(route, APIRoute)
    known = {field.alias for field in get_flat_params(route.dependant) if isinstance(field.field_info, QueryInfo)}
    for name in request.query_params:
        if name not in known:
            allowed = ", ".join(sorted(known)) or "none"
            raise InvalidInput(name, f"there is no such parameter: this route has {allowed}")


async def month_of_period(
    request: Request,
    period: MonthText = "current",
) -> Month:
    return parse_month(period, today=services(request).today(), field="period")


async def range_of_days(
    request: Request,
    first: Annotated[
        str | None, Query(alias="from", description="First day, with `to`.", examples=["2026-11-01"])
    ] = None,
    last: Annotated[
        str | None,
        Query(alias="to", description="Last day, included. Default: today.", examples=["2026-11-20"]),
    ] = None,
    trailing: Annotated[
        str | None,
        Query(alias="range", description="Today and the days before, e.g. `30d`.", examples=["30d"]),
    ] = None,
) -> DayRange:
    today = services(request).today()
    if first is None and last is None:
        return parse_range(DEFAULT_RANGE if trailing is None else trailing, today=today)
    if trailing is not None:
        raise InvalidInput("range", "give either range, or from and to")
    if first is None:
        raise InvalidInput("from", "is missing: to needs it")
    start = parse_day(first, today=today, field="from")
    end = parse_day(last, today=today, field="to") if last is not None else today
    return checked_days(start, end, first_field="from")


async def days_of_period(
    request: Request,
    period: Annotated[
        str | None, Query(description="`current` (the default) or a month, `YYYY-MM`.", examples=["2026-11"])
    ] = None,
    first: Annotated[
        str | None, Query(alias="from", description="First day, instead of a period.", examples=["2026-11-01"])
    ] = None,
    last: Annotated[
        str | None,
        Query(alias="to", description="Last day, included, with `from`. Default: today.", examples=["2026-11-20"]),
    ] = None,
) -> DayRange:
    if first is None and last is None:
        month = await month_of_period(request, "current" if period is None else period)
        return DayRange(month.first, month.last)
    if period is not None:
        raise InvalidInput("period", "give either a period, or from and to")
    return await range_of_days(request, first, last, None)


Period = Annotated[Month, Depends(month_of_period)]
Days = Annotated[DayRange, Depends(range_of_days)]
PeriodDays = Annotated[DayRange, Depends(days_of_period)]
