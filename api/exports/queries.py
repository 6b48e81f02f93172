"""SQL of the exports: usage by day, and the FOCUS mart's rows in a version of FOCUS."""

from api.exports.focus_columns import selected

USAGE_OF_TENANT = """
select
    usage_daily.date,
    usage_daily.channel,
    usage_daily.direction,
    usage_daily.source,
    usage_daily.feature,
    coalesce(sum(usage_daily.unit_count) filter (where ops.is_channel_unit(usage_daily.channel, usage_daily.unit)), 0) as unit_count,
    sum(usage_daily.estimated_cost_usd) * 100 as estimated_cost_cents
from marts.usage_daily
where usage_daily.tenant_id = %(tenant_id)s
    and usage_daily.date between %(first_day)s and %(last_day)s
group by
    usage_daily.date,
    usage_daily.channel,
    usage_daily.direction,
    usage_daily.source,
    usage_daily.feature
order by
    usage_daily.date,
    usage_daily.channel,
    usage_daily.direction,
    usage_daily.source,
    usage_daily.feature
"""


def focus_of_tenant(spec: str) -> str:
    """Return the query of a tenant's charges."""
    return f"""
select
{selected(spec)}
from marts.focus_cost_and_usage as focus
where focus.tenant_id = %(tenant_id)s
    and focus.date between %(first_day)s and %(last_day)s
order by focus.date, focus.charge_id
"""


def focus_of_all(spec: str) -> str:
    """Return the query of all tenants' charges, and of nobody's.

    By the day: the view computes what it is asked for before its first row, and a year of all tenants would take longer than a
    statement may (hence the `offset`, without which the planner would ask for all days at once).
    """
    return f"""
select
{selected(spec)}
from generate_series(%(first_day)s::timestamp, %(last_day)s::timestamp, interval '1 day') as days (day)
cross join
    lateral (
        select *
        from marts.focus_cost_and_usage
        where focus_cost_and_usage.date = days.day::date
        order by focus_cost_and_usage.charge_id
        offset 0
    ) as focus
"""
