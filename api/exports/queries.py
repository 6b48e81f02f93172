"""SQL of the exports: usage by day, and the FOCUS mart's rows as they are."""

from api.exports.focus_columns import COLUMNS

_SELECTED = ",\n".join(f'    focus."{name}"' for name, _ in COLUMNS)

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

FOCUS_OF_TENANT = f"""
select
{_SELECTED}
from marts.focus_cost_and_usage as focus
where focus.tenant_id = %(tenant_id)s
    and focus.date between %(first_day)s and %(last_day)s
order by focus.date, focus.charge_id
"""

FOCUS_OF_ALL = f"""
select
{_SELECTED}
from marts.focus_cost_and_usage as focus
where focus.date between %(first_day)s and %(last_day)s
order by focus.date, focus.charge_id
"""
