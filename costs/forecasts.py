"""`ops.usage_forecasts`: the series of each limit out of the marts, a forecast of each, and its row. The rules are in `costs`."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import astuple, dataclass, fields
from datetime import date, datetime, timedelta
from decimal import Decimal
from itertools import groupby
from operator import attrgetter
from typing import NamedTuple

import psycopg
from psycopg.rows import class_row

from costs.rules.forecast import HISTORY_DAYS, Days, cap_forecast, forecast

# Old forecasts are kept to be compared with what came: a year, and the month around it.
KEPT_DAYS = 400
SECONDS_OF_A_DAY = 86_400

# A row per limit and day on which it was used, and one per tenant and day for its whole cost. A limit that was not
# used has one row without a day.
SERIES = """
with limits as (
    select
        limited.tenant_id,
        limits.channel,
        limits.metric,
        limits.direction,
        limits.cap
    from (select distinct tenant_id from marts.tenant_usage_status) as limited
    cross join lateral ops.limits_of(limited.tenant_id, to_char(%(today)s::date, 'YYYY-MM')) as limits
    union all
    select
        tenant_id,
        '',
        'cost_cents',
        'any',
        null
    from marts.tenants
),

daily as (
    select
        tenant_id,
        channel,
        direction,
        date,
        -- A cap is on what the channel counts: no images among the tokens.
        coalesce(sum(unit_count) filter (where ops.is_channel_unit(channel, unit)), 0) as units,
        sum(request_count) as requests,
        sum(estimated_cost_usd) * 100 as cost_cents,
        ops.sum_units(jsonb_build_object(coalesce(unit, 'units'), unpriced_unit_count)) filter (where unpriced_unit_count <> 0) as unpriced
    from marts.usage_daily
    where date >= %(first_day)s and date <= %(today)s
    group by tenant_id, channel, direction, date
)

select
    limits.tenant_id,
    limits.channel,
    limits.metric,
    limits.direction,
    limits.cap,
    daily.date as day,
    case limits.metric
        when 'units' then sum(daily.units)
        when 'requests' then sum(daily.requests)
        else sum(daily.cost_cents)
    end as value,
    ops.sum_units(daily.unpriced)::text as unpriced
from limits
left join daily
    on
        limits.tenant_id = daily.tenant_id
        and limits.channel in ('', daily.channel)
        and limits.direction in ('any', daily.direction)
group by limits.tenant_id, limits.channel, limits.metric, limits.direction, limits.cap, daily.date
order by limits.tenant_id, limits.channel, limits.metric, daily.date
"""


class Subject(NamedTuple):
    """What is forecast: a limit of a tenant, or (channel ``""``, no cap) a tenant's cost."""

    tenant_id: str
    channel: str
    metric: str
    direction: str
    cap: Decimal | None


@dataclass(frozen=True)
class Used:
    """One row of `SERIES`: what was used of a subject on a day; None: nothing of it had a price."""

    tenant_id: str
    channel: str
    metric: str
    direction: str
    cap: Decimal | None
    day: date | None
    value: Decimal | None
    unpriced: str

    @property
    def subject(self) -> Subject:
        """What the row is about."""
        return Subject(self.tenant_id, self.channel, self.metric, self.direction, self.cap)


@dataclass(frozen=True)
class Row:
    """A row of ops.usage_forecasts; the fields are its columns."""

    tenant_id: str
    as_of_date: date
    month: str
    channel: str
    metric: str
    direction: str
    used: Decimal | None
    expected: Decimal | None
    low: Decimal | None
    high: Decimal | None
    cap: Decimal | None
    cap_is_reached: bool | None
    cap_earliest: date | None
    cap_likely: date | None
    cap_latest: date | None
    cap_probability: Decimal | None
    history_days: int
    unpriced_unit_count: Decimal | None
    unpriced_units: str
    build_id: str | None


def forecast_row(subject: Subject, used: Sequence[Used], as_of: datetime, build_id: str | None) -> Row:
    """Return the forecast of one subject from the days on which it was used, in any order.

    Days before the first one are not history: a tenant that began last week is not one that was quiet before. Days on which
    nothing had a price count as what was priced of them: nothing; if that is all there is, there is no forecast.
    """
    unpriced = _by_kind(used)
    today = as_of.date()
    by_day = {entry.day: entry.value for entry in used if entry.day is not None}
    first = min((day for day in by_day if day is not None), default=today)
    before = [by_day.get(first + timedelta(days=number)) or Decimal(0) for number in range((today - first).days)]
    days = Days(today, before, by_day.get(today) or Decimal(0), _rest(as_of))
    is_known = not by_day or any(value is not None for value in by_day.values())
    total = forecast(days) if is_known else None
    caps = cap_forecast(days, subject.cap) if is_known and subject.cap is not None else None
    return Row(
        tenant_id=subject.tenant_id,
        as_of_date=today,
        month=today.strftime("%Y-%m"),
        channel=subject.channel,
        metric=subject.metric,
        direction=subject.direction,
        used=days.month_to_date() if is_known else None,
        expected=total.expected if total else None,
        low=total.low if total else None,
        high=total.high if total else None,
        cap=subject.cap,
        cap_is_reached=caps.is_reached if caps else None,
        cap_earliest=caps.earliest if caps else None,
        cap_likely=caps.likely if caps else None,
        cap_latest=caps.latest if caps else None,
        cap_probability=caps.probability if caps else None,
        history_days=len(before),
        unpriced_unit_count=None if len(unpriced) > 1 else sum(unpriced.values(), Decimal(0)),
        unpriced_units=_as_json(unpriced),
        build_id=build_id,
    )


def _by_kind(used: Sequence[Used]) -> dict[str, Decimal]:
    quantities: dict[str, Decimal] = {}
    for entry in used:
        for unit, quantity in json.loads(entry.unpriced, parse_float=Decimal, parse_int=Decimal).items():
            quantities[unit] = quantities.get(unit, Decimal(0)) + quantity
    return {unit: quantity for unit, quantity in quantities.items() if quantity}


def _as_json(kinds: Mapping[str, Decimal]) -> str:
    # Exact numbers, which json would make binary ones of.
    return "{" + ", ".join(f"{json.dumps(unit)}: {quantity:f}" for unit, quantity in kinds.items()) + "}"


def _rest(as_of: datetime) -> float:
    """Return the part of the as-of day that is still to come."""
    seconds = as_of.hour * 3600 + as_of.minute * 60 + as_of.second
    return 1 - seconds / SECONDS_OF_A_DAY


def rows_of(used: Iterable[Used], as_of: datetime, build_id: str | None) -> Iterator[Row]:
    """Return a forecast per subject of `SERIES`."""
    for subject, entries in groupby(used, key=attrgetter("subject")):
        yield forecast_row(subject, list(entries), as_of, build_id)


def write_forecasts(connection: psycopg.Connection, as_of: datetime) -> int:
    """Replace the as-of day's forecasts with those of the marts as they are; return how many there are.

    Args:
        as_of: aware; its UTC day is the day of the forecast, its time says how much of that day is to come.
    """
    today = as_of.date()
    columns = [field.name for field in fields(Row)]
    with connection.transaction():
        # Two evaluations at once would both insert the day.
        connection.execute("select pg_advisory_xact_lock(hashtextextended('ops.usage_forecasts', 0))")
        build = connection.execute("select build_id from ops.current_build").fetchone()
        connection.execute(
            "delete from ops.usage_forecasts where as_of_date = %s or as_of_date < %s",
            (today, today - timedelta(days=KEPT_DAYS)),
        )
        with connection.cursor(row_factory=class_row(Used)) as reading:
            reading.execute(SERIES.encode(), {"today": today, "first_day": today - timedelta(days=HISTORY_DAYS)})
            rows = list(rows_of(reading, as_of, build[0] if build else None))
        with (
            connection.cursor() as cursor,
            cursor.copy(f"copy ops.usage_forecasts ({', '.join(columns)}) from stdin".encode()) as copy,
        ):
            for row in rows:
                copy.write_row(astuple(row))
    return len(rows)
