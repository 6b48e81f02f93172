"""Which conditions hold as of now, read from the marts: whatever days were built last, the answer is about the as-of day."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, timedelta
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Any

import psycopg

from costs.anomaly import HISTORY_DAYS, find_anomaly, find_cause
from orchestration.alerts.state import Condition

ANOMALY_FACTOR = Decimal("1.5")
SPIKE_IS_CRITICAL_FROM = 100

# Thresholds are the plan's row, else the default's; unattributed usage, suspended and removed tenants raise none of these.
COSTS = """
select
    tenants.tenant_id,
    costs.total_cost_cents,
    costs.previous_month_cost_cents,
    costs.cost_change_percent,
    costs.projected_cost_cents,
    thresholds.monthly_warning_cents,
    thresholds.monthly_critical_cents,
    thresholds.spike_percent
from marts.tenants as tenants
inner join marts.tenant_monthly as costs on costs.tenant_id = tenants.tenant_id and costs.month = %(month)s
cross join lateral (
    select candidates.*
    from staging.alert_thresholds as candidates
    where coalesce(candidates.plan, '') in ('', coalesce(tenants.plan, ''))
    order by coalesce(candidates.plan, '') desc
    limit 1
) as thresholds
where tenants.status = 'active' and tenants.tenant_id <> 'unattributed'
order by tenants.tenant_id
"""

CAPS = """
select distinct on (limits.tenant_id, limits.channel)
    limits.tenant_id,
    limits.channel,
    limits.metric,
    limits.used,
    limits.cap,
    limits.percent_used,
    limits.status
from marts.tenant_usage_status as limits
inner join marts.tenants as tenants
    on tenants.tenant_id = limits.tenant_id
    and tenants.status = 'active'
    and tenants.tenant_id <> 'unattributed'
where limits.month = %(month)s and limits.status in ('warning', 'over_cap')
order by limits.tenant_id, limits.channel, limits.status, limits.percent_used desc nulls last, limits.metric
"""

UNPRICED = """
select
    monthly.tenant_id,
    monthly.channel,
    min(monthly.unit),
    sum(monthly.unpriced_unit_count),
    min(monthly.month),
    (
        select string_agg(distinct nullif(daily.model, ''), ', ')
        from marts.usage_daily as daily
        where
            daily.tenant_id = monthly.tenant_id
            and daily.channel = monthly.channel
            and daily.unpriced_unit_count <> 0
    )
from marts.usage_monthly as monthly
where monthly.unpriced_unit_count <> 0
group by monthly.tenant_id, monthly.channel
order by 1, 2
"""

# The month before is still being settled with the providers; what is older is history.
DRIFT = """
select
    tenant_id,
    case service when 'twilio_sms' then 'sms' when 'twilio_voice' then 'voice' when 'openai' then 'ai' else 'email' end,
    count(*),
    max(date),
    max(drift_percent)
from marts.usage_reconciliation
where state = 'drift' and date >= date_trunc('month', %(today)s::date - interval '1 month')
group by 1, 2
order by 1, 2
"""

USAGE = """
select
    daily.tenant_id,
    daily.channel,
    min(daily.unit),
    daily.date,
    daily.feature,
    daily.model,
    daily.operation,
    sum(daily.unit_count)
from marts.usage_daily as daily
inner join marts.tenants as tenants
    on tenants.tenant_id = daily.tenant_id
    and tenants.status = 'active'
    and tenants.tenant_id <> 'unattributed'
where daily.date between %(first)s and %(day)s
group by daily.tenant_id, daily.channel, daily.date, daily.feature, daily.model, daily.operation
order by daily.tenant_id, daily.channel
"""

FIRST_DAYS = "select tenant_id, channel, min(date) from marts.usage_summary group by 1, 2"


def holding(connection: psycopg.Connection, today: date) -> list[Condition]:
    """Return every condition that holds as of ``today``, of all types."""
    return [found for read in READERS for found in read(connection, today)]


def threshold_conditions(connection: psycopg.Connection, today: date) -> list[Condition]:
    """Return who has spent more this month than the warning, or than the critical, threshold: the higher one of each."""
    found = []
    for tenant, cost, _, _, _, warning, critical, _ in _costs(connection, today):
        for severity, threshold in (("critical", critical), ("warning", warning)):
            if cost is not None and threshold is not None and cost > threshold:
                details = {"currentCost": _cents(cost), "threshold": _cents(threshold)}
                message = f"Monthly usage has exceeded {_usd(threshold)}"
                found.append(Condition(tenant, "threshold", severity, None, message, details))
                break
    return found


def spike_conditions(connection: psycopg.Connection, today: date) -> list[Condition]:
    """Return whose complete days of this month cost so much more than as many of the month before."""
    found = []
    for tenant, cost, previous, change, _, _, _, limit in _costs(connection, today):
        if change is None or limit is None or change < limit:
            continue
        severity = "critical" if change >= SPIKE_IS_CRITICAL_FROM else "warning"
        details = {
            "currentCost": _cents(cost),
            "previousCost": _cents(previous),
            "percentChange": float(round(change, 1)),
            "threshold": float(limit),
        }
        whole = change.quantize(Decimal(1), ROUND_HALF_EVEN)
        found.append(Condition(tenant, "spike", severity, None, f"Usage is {whole}% higher than last month", details))
    return found


def projection_conditions(connection: psycopg.Connection, today: date) -> list[Condition]:
    """Return whose month is projected to cost one and a half times the critical threshold."""
    found = []
    for tenant, cost, _, _, projected, _, critical, _ in _costs(connection, today):
        if projected is None or critical is None or projected < ANOMALY_FACTOR * critical:
            continue
        details = {
            "currentCost": _cents(cost),
            "projectedCost": _cents(projected),
            "threshold": _cents(ANOMALY_FACTOR * critical),
        }
        message = f"Projected monthly cost: {_usd(projected)}"
        found.append(Condition(tenant, "anomaly", "warning", None, message, details))
    return found


def cap_conditions(connection: psycopg.Connection, today: date) -> list[Condition]:
    """Return the channels that are near or over a cap this month, by the limit that is worst."""
    found = []
    for tenant, channel, metric, used, cap, percent, status in connection.execute(CAPS, {"month": f"{today:%Y-%m}"}):
        of_cap = f"{_amount(used, metric)} of {_amount(cap, metric)}"
        is_over = status == "over_cap"
        found.append(
            Condition(
                tenant,
                "cap",
                "critical" if is_over else "warning",
                channel,
                f"The monthly cap of {channel} is {'exceeded' if is_over else 'near'}: {of_cap} used",
                {
                    "metric": metric,
                    "used": float(used),
                    "threshold": float(cap),
                    "percentUsed": float(round(percent, 1)),
                },
            )
        )
    return found


def unpriced_conditions(connection: psycopg.Connection, today: date) -> list[Condition]:
    """Return where usage of any month has no price: its cost is not known, and no total holds it."""
    found = []
    for tenant, channel, unit, units, month, models in connection.execute(UNPRICED):
        of_what = f" of {models}" if models else ""
        message = f"{_plain(units)} {unit}{of_what} ({channel}) have no price: add one to price_book.csv"
        details = {"units": float(units), "since": month, "models": models.split(", ") if models else []}
        found.append(Condition(tenant, "unpriced", "warning", channel, message, details))
    return found


def drift_conditions(connection: psycopg.Connection, today: date) -> list[Condition]:
    """Return a condition per tenant and channel whose tracked usage differs from the provider's beyond the tolerance."""
    return [
        Condition(
            tenant_id,
            "drift",
            "warning",
            channel,
            f"Tracked usage differs from the provider's by up to {percent:.1f}% on {days} day{'s' if days > 1 else ''}, last on {last}",
            {"percentChange": float(percent), "days": days, "lastDate": last.isoformat()},
        )
        for tenant_id, channel, days, last, percent in connection.execute(DRIFT, {"today": today})
    ]


def daily_anomaly_conditions(connection: psycopg.Connection, today: date) -> list[Condition]:
    """Return the channels whose last complete day is unusual for its weekday, with what contributed most."""
    day = today - timedelta(days=1)
    first_days = {(tenant, channel): first for tenant, channel, first in connection.execute(FIRST_DAYS)}
    parts: dict[tuple[str, str], dict[tuple[str, ...], dict[date, float]]] = {}
    units: dict[tuple[str, str], str] = {}
    window = {"first": day - timedelta(days=HISTORY_DAYS), "day": day}
    for tenant, channel, unit, when, feature, model, operation, count in connection.execute(USAGE, window):
        part = parts.setdefault((tenant, channel), {}).setdefault((feature, model, operation), {})
        part[when] = part.get(when, 0.0) + float(count)
        units[tenant, channel] = unit
    found = []
    for (tenant, channel), its_parts in parts.items():
        total: dict[date, float] = {}
        for usage in its_parts.values():
            for when, count in usage.items():
                total[when] = total.get(when, 0.0) + count
        first = max(first_days[tenant, channel], window["first"])
        anomaly = find_anomaly(total, day, first)
        if anomaly is None:
            continue
        cause = find_cause(its_parts, day, first)
        assert cause is not None, "a day with usage has a part"
        feature, model, operation = cause.key
        by = ", ".join(word for word in (feature, model, operation) if word)
        found.append(
            Condition(
                tenant,
                "anomaly",
                "warning",
                channel,
                f"Unusual usage of {channel} on {day}: {anomaly.value:,.0f} {units[tenant, channel]}, about"
                f" {anomaly.expected:,.0f} expected; most of it by {by}",
                {
                    "date": day.isoformat(),
                    "value": anomaly.value,
                    "expected": anomaly.expected,
                    "score": round(anomaly.score, 1),
                    "feature": feature,
                    "model": model,
                    "operation": operation,
                    "excess": cause.excess,
                },
            )
        )
    return found


READERS: tuple[Callable[[psycopg.Connection, date], list[Condition]], ...] = (
    threshold_conditions,
    spike_conditions,
    projection_conditions,
    cap_conditions,
    unpriced_conditions,
    drift_conditions,
    daily_anomaly_conditions,
)


def _costs(connection: psycopg.Connection, today: date) -> list[Any]:
    return connection.execute(COSTS, {"month": f"{today:%Y-%m}"}).fetchall()


def _cents(cents: Decimal | None) -> int | None:
    """Round half even, at the edge: details are for people. The marts have the exact figures."""
    return None if cents is None else int(cents.quantize(Decimal(1), ROUND_HALF_EVEN))


def _usd(cents: Decimal) -> str:
    return f"${(cents / 100).quantize(Decimal('0.01'), ROUND_HALF_EVEN):,}"


def _amount(quantity: Decimal, metric: str) -> str:
    return _usd(quantity) if metric == "cost_cents" else f"{_plain(quantity)} {metric}"


def _plain(quantity: Decimal) -> str:
    return f"{quantity.normalize():,f}"
