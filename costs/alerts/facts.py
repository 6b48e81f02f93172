"""What the rules need to know, read from the marts: all SQL of the conditions."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta
from decimal import Decimal

import psycopg
from psycopg.types.json import Json

from costs.alerts.rules import (
    Condition,
    Drift,
    LimitReached,
    MonthSoFar,
    Thresholds,
    UnknownTenant,
    Unpriced,
    UnusualDay,
    of_drift,
)
from costs.rules.anomaly import LEVEL_DAYS, WEEKS, Line, dense, expectation, find_cause
from costs.rules.services import SERVICES

UNATTRIBUTED = "unattributed"
# Today so far and the two days before: what providers and hosts bring late must still be seen.
RECENT_DAYS = 3
# For so long after its last event an unknown tenant is alerted.
UNKNOWN_DAYS = 31
# A day's excess below a dollar is nobody's business.
FLOOR_CENTS = Decimal(100)

# A plan's own row first, then the row without a plan; a figure that is empty in the one is taken from the other.
MONTHS = """
select
    tenants.tenant_id,
    tenants.name,
    months.total_cost_cents,
    months.cost_change_percent,
    months.projected_cost_cents,
    months.previous_month_cost_cents,
    coalesce(own.monthly_warning_cents, general.monthly_warning_cents, 5000)::numeric,
    coalesce(own.monthly_critical_cents, general.monthly_critical_cents, 10000)::numeric,
    coalesce(own.spike_percent, general.spike_percent, 50)::numeric
from marts.tenants as tenants
inner join marts.tenant_monthly as months
    on months.tenant_id = tenants.tenant_id and months.month = %(month)s
left join staging.alert_thresholds as own on own.plan = tenants.plan
left join staging.alert_thresholds as general on coalesce(general.plan, '') = ''
where tenants.status = 'active' and tenants.tenant_id <> %(unattributed)s
order by tenants.tenant_id
"""

LIMITS = """
select distinct on (limits.tenant_id, limits.channel)
    limits.tenant_id,
    tenants.name,
    limits.channel,
    limits.metric,
    coalesce(
        (
            select usage.unit from marts.usage_monthly as usage
            where usage.tenant_id = limits.tenant_id and usage.month = limits.month and usage.channel = limits.channel
            limit 1
        ),
        'units'
    ),
    limits.used,
    limits.cap,
    limits.percent_used,
    limits.status
from marts.tenant_usage_status as limits
inner join marts.tenants as tenants on tenants.tenant_id = limits.tenant_id
where
    limits.month = %(month)s
    and limits.status <> 'ok'
    and tenants.status = 'active'
    and tenants.tenant_id <> %(unattributed)s
order by limits.tenant_id, limits.channel, ops.severity(limits.status) desc, limits.percent_used desc, limits.metric
"""

# Whatever the month: a hole in an old one is a hole in what somebody reads. The marts by month say where to look. A closed month keeps its
# holes: what a price has filled of them since, and what came later, is in its adjustments, which know no models.
UNPRICED = """
with booked as (
    select
        adjustments.tenant_id,
        adjustments.date,
        adjustments.channel,
        ops.add_units(
            ops.sum_units(adjustments.unpriced_units),
            (
                select jsonb_object_agg(of_day.unit, of_day.quantity)
                from (
                    select coalesce(daily.unit, 'units') as unit, sum(daily.unpriced_unit_count) as quantity
                    from marts.usage_daily as daily
                    where
                        daily.tenant_id = adjustments.tenant_id
                        and daily.date = adjustments.date
                        and daily.channel = adjustments.channel
                        and daily.unpriced_unit_count <> 0
                    group by coalesce(daily.unit, 'units')
                ) as of_day
            )
        ) as units
    from ops.cost_adjustments as adjustments
    group by adjustments.tenant_id, adjustments.date, adjustments.channel
    having bool_or(adjustments.unpriced_units <> '{}')
)

select
    daily.tenant_id,
    coalesce(tenants.name, daily.tenant_id),
    daily.channel,
    daily.unit,
    daily.service,
    daily.operation,
    daily.model,
    sum(daily.unpriced_unit_count),
    min(daily.date)
from marts.usage_monthly as holes
inner join marts.usage_daily as daily
    on
        daily.tenant_id = holes.tenant_id
        and daily.channel = holes.channel
        and daily.date >= to_date(holes.month, 'YYYY-MM')
        and daily.date < (to_date(holes.month, 'YYYY-MM') + interval '1 month')::date
        and daily.channel <> 'payments'
left join booked on booked.tenant_id = daily.tenant_id and booked.date = daily.date and booked.channel = daily.channel
left join marts.tenants as tenants on tenants.tenant_id = daily.tenant_id
where
    -- Of whatever kind: images among tokens are in no count of them.
    (holes.unpriced_unit_count > 0 or holes.unpriced_units - holes.unit <> '{}')
    and daily.unpriced_unit_count > 0
    and booked.tenant_id is null
group by 1, 2, 3, 4, 5, 6, 7

union all

-- Of payments the lines say why: no price for their kind, or a currency that leads to no USD.
select
    lines.tenant_id,
    coalesce(tenants.name, lines.tenant_id),
    lines.channel,
    lines.unit,
    lines.service,
    lines.operation,
    case when lines.unconverted_currency in ('', 'unknown') then '' else 'in ' || upper(lines.unconverted_currency) end,
    sum(lines.unit_count),
    min(lines.date)
from marts.usage_monthly as holes
inner join marts.usage_lines as lines
    on
        lines.tenant_id = holes.tenant_id
        and lines.channel = holes.channel
        and lines.date >= to_date(holes.month, 'YYYY-MM')
        and lines.date < (to_date(holes.month, 'YYYY-MM') + interval '1 month')::date
        and lines.estimated_cost_usd is null
left join booked on booked.tenant_id = lines.tenant_id and booked.date = lines.date and booked.channel = lines.channel
left join marts.tenants as tenants on tenants.tenant_id = lines.tenant_id
where
    holes.unpriced_unit_count > 0
    and holes.channel = 'payments'
    and booked.tenant_id is null
group by 1, 2, 3, 4, 5, 6, 7

union all

select
    booked.tenant_id,
    coalesce(tenants.name, booked.tenant_id),
    booked.channel,
    kinds.unit,
    'usage of a closed month',
    '',
    '',
    sum(kinds.quantity::numeric),
    min(booked.date)
from booked
cross join lateral jsonb_each_text(booked.units) as kinds (unit, quantity)
left join marts.tenants as tenants on tenants.tenant_id = booked.tenant_id
where kinds.quantity::numeric > 0
group by 1, 2, 3, 4
order by 1, 3, 5, 6, 7
"""

# What the directory does not know now, whatever it knew when the days were built: it ends when the tenant is added.
UNKNOWN_TENANTS = """
select events.tenant_id, count(*), max(events.usage_date)
from raw.usage_events as events
where
    events.occurred_at >= (%(today)s::date - %(days)s::integer)::timestamp at time zone 'UTC'
    and events.tenant_id not in ('', %(unattributed)s)
    and events.tenant_id not in (select tenants.tenant_id from raw.tenants)
group by events.tenant_id
order by events.tenant_id
"""

# Only channels whose recent cost could be of interest at all: most are not, and are not read.
RECENT_COSTS = """
with candidates as (
    select recent.tenant_id, recent.channel, min(tenants.name) as name
    from marts.usage_summary as recent
    inner join marts.tenants as tenants on tenants.tenant_id = recent.tenant_id
    where
        recent.date > %(today)s::date - %(recent)s
        and recent.date <= %(today)s
        and tenants.status = 'active'
        and tenants.tenant_id <> %(unattributed)s
    group by recent.tenant_id, recent.channel
    having max(recent.estimated_cost_cents) >= %(floor)s
)

select summary.tenant_id, candidates.name, summary.channel, summary.date, summary.estimated_cost_cents
from marts.usage_summary as summary
inner join candidates on candidates.tenant_id = summary.tenant_id and candidates.channel = summary.channel
where summary.date >= %(first)s and summary.date <= %(today)s
order by summary.tenant_id, summary.channel, summary.date
"""

LINES = """
select date, feature, model, operation, sum(estimated_cost_usd) * 100
from marts.usage_daily
where tenant_id = %(tenant)s and channel = %(channel)s and date = any(%(days)s) and estimated_cost_usd is not null
group by date, feature, model, operation
"""

CHANNEL_OF = {
    **{f"{name}_{channel}": channel for name, service in SERVICES.items() for channel in service.channels[1:]},
    **{name: service.channels[0] for name, service in SERVICES.items()},
}

# Beside the services stand what they count in units of their own (`openai_image`) and control totals (`twilio_sms_total`). The month before is still being settled with the
# providers; what is older is history.
DRIFT = """
select
    drifting.tenant_id,
    coalesce(tenants.name, drifting.tenant_id),
    (
        select known.channel
        from jsonb_each_text(%(channels)s::jsonb) as known (service, channel)
        where drifting.service = known.service or starts_with(drifting.service, known.service || '_')
        order by length(known.service) desc
        limit 1
    ),
    drifting.service like '%%_total',
    count(distinct drifting.date),
    max(drifting.date),
    max(drifting.drift_percent)
from marts.usage_reconciliation as drifting
left join marts.tenants as tenants on tenants.tenant_id = drifting.tenant_id
where drifting.state = 'drift' and drifting.date >= date_trunc('month', %(today)s::date - interval '1 month')
group by 1, 2, 3, 4
order by 1, 3, 4
"""


def months_so_far(connection: psycopg.Connection, today: date) -> list[MonthSoFar]:
    """Return the as-of month of every active tenant that has used anything yet."""
    rows = connection.execute(MONTHS, {"month": today.strftime("%Y-%m"), "unattributed": UNATTRIBUTED})
    return [
        MonthSoFar(tenant_id, name, cost, change, projected, previous, Thresholds(warning, critical, spike))
        for tenant_id, name, cost, change, projected, previous, warning, critical, spike in rows
    ]


def limits_reached(connection: psycopg.Connection, today: date) -> list[LimitReached]:
    """Return the worst limit of each channel that is near or over its cap in the as-of month."""
    rows = connection.execute(LIMITS, {"month": today.strftime("%Y-%m"), "unattributed": UNATTRIBUTED})
    return [LimitReached(*row) for row in rows]


def unpriced(connection: psycopg.Connection) -> list[Unpriced]:
    """Return all usage without a price, of whoever and whenever."""
    return [Unpriced(*row) for row in connection.execute(UNPRICED)]


def unknown_tenants(connection: psycopg.Connection, today: date) -> list[UnknownTenant]:
    """Return the tenants that events of the last `UNKNOWN_DAYS` name and the directory does not know."""
    rows = connection.execute(UNKNOWN_TENANTS, {"today": today, "days": UNKNOWN_DAYS, "unattributed": UNATTRIBUTED})
    return [UnknownTenant(*row) for row in rows]


def unusual_days(connection: psycopg.Connection, today: date) -> list[UnusualDay]:
    """Return each active tenant's channels with an unusual recent day: the latest such day, with its cause."""
    first = today - timedelta(weeks=WEEKS, days=RECENT_DAYS)
    rows = connection.execute(
        RECENT_COSTS,
        {
            "today": today,
            "recent": RECENT_DAYS,
            "first": first,
            "floor": FLOOR_CENTS,
            "unattributed": UNATTRIBUTED,
        },
    )
    channels: dict[tuple[str, str, str], dict[date, Decimal | None]] = {}
    for tenant_id, name, channel, day, cents in rows:
        channels.setdefault((tenant_id, name, channel), {})[day] = cents
    unusual = []
    for (tenant_id, name, channel), costs in channels.items():
        history = dense(costs, first, today)
        for day in (today - timedelta(days=back) for back in range(RECENT_DAYS)):
            expected = expectation(history, day, floor=FLOOR_CENTS)
            cost = history.get(day)
            if expected is None or cost is None or cost < expected.threshold:
                continue
            before = [day - timedelta(weeks=week) for week in range(1, LEVEL_DAYS // 7 + 1)]
            cause = find_cause(_lines(connection, tenant_id, channel, [day, *before]), day, before)
            unusual.append(UnusualDay(tenant_id, name, channel, day, cost, expected, cause))
            break
    return unusual


def _lines(connection: psycopg.Connection, tenant_id: str, channel: str, days: Sequence[date]) -> list[Line]:
    rows = connection.execute(LINES, {"tenant": tenant_id, "channel": channel, "days": list(days)})
    return [Line(*row) for row in rows]


def drift_conditions(connection: psycopg.Connection, today: date) -> list[Condition]:
    """Return a condition per tenant and channel whose tracked usage differs from the provider's beyond the tolerance."""
    drifts_of: dict[tuple[str, str, str], dict[bool, Drift]] = {}
    for tenant_id, name, channel, is_total, days, last, percent in connection.execute(
        DRIFT, {"today": today, "channels": Json(CHANNEL_OF)}
    ):
        drifts_of.setdefault((tenant_id, name, channel), {})[is_total] = Drift(days, last, percent)
    return [
        of_drift(*channel_of_tenant, drifts.get(False), drifts.get(True))
        for channel_of_tenant, drifts in drifts_of.items()
    ]
