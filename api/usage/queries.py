"""All SQL of the tenant's routes. Every read of a mart with tenants in it has `tenant_id = %(tenant_id)s`.

Cost is in exact cents. `trim_scale` keeps the exact value and drops the zeros that numeric(38,18) is padded
with: the answer is a third as long. A sum over no line is 0; over lines of which none is priced it is null.
"""

from api.kit.queries import CELL, SOURCES

_LIMITS = """
    select coalesce(json_agg(part order by part.channel, part.metric), '[]')
    from (
        select
            limits.channel,
            limits.metric,
            limits.direction,
            trim_scale(limits.cap) as cap,
            trim_scale(limits.warning_threshold_pct) as warning_threshold_pct,
            trim_scale(limits.used) as used,
            trim_scale(limits.percent_used) as percent_used,
            limits.status
        from ops.limits_of(%(tenant_id)s, %(month)s) as limits
    ) as part
"""

_CHANNEL_USAGE = """
    select coalesce(json_agg(part order by part.channel), '[]')
    from (
        select
            usage_monthly.channel,
            usage_monthly.unit,
            trim_scale(usage_monthly.unit_count) as unit_count,
            usage_monthly.request_count,
            trim_scale(usage_monthly.estimated_cost_cents) as estimated_cost_cents,
            trim_scale(usage_monthly.billed_cost_cents) as billed_cost_cents,
            trim_scale(usage_monthly.unpriced_unit_count) as unpriced_unit_count,
            usage_monthly.unpriced_units,
            trim_scale(usage_monthly.provisional_unit_count) as provisional_unit_count
        from marts.usage_monthly
        where usage_monthly.tenant_id = %(tenant_id)s
            and usage_monthly.month = %(month)s
    ) as part
"""

_TENANT = """
    tenants.tenant_id,
    tenants.name as tenant_name,
    tenants.plan,
    tenants.plan_label,
    tenants.monthly_base_price_usd * 100 as monthly_base_price_cents,
    tenants.usage_hard_stop_enabled as hard_stop_enabled
"""

STATUS = f"""
select
    {_TENANT},
    ({_LIMITS}) as limits,
    ({_CHANNEL_USAGE}) as channels
from marts.tenants
where tenants.tenant_id = %(tenant_id)s
"""

# Its days come as columns: as objects they take half again as long to write, and twice as long to read.
SUMMARY = f"""
select
    {_TENANT},
    ({_LIMITS}) as limits,
    ({_CHANNEL_USAGE}) as channels,
    (
        select coalesce(json_agg(part order by part.channel, part.metric), '[]')
        from (
            select
                plan_limits.channel,
                plan_limits.metric,
                plan_limits.direction,
                trim_scale(plan_limits.monthly_cap) as monthly_cap,
                trim_scale(plan_limits.warning_threshold_pct) as warning_threshold_pct
            from marts.plan_limits
            where plan_limits.plan = tenants.plan
        ) as part
    ) as plan_limits,
    (
        select
            case
                when count(*) > 0
                    then json_build_array(
                        json_agg(part.date),
                        json_agg(part.channel),
                        json_agg(part.unit),
                        json_agg(part.unit_count),
                        json_agg(part.request_count),
                        json_agg(part.estimated_cost_cents),
                        json_agg(part.estimated_cost_usd)
                    )
            end
        from (
            select
                usage_summary.date,
                {CELL},
                trim_scale(usage_summary.estimated_cost_cents * 0.01)::text as estimated_cost_usd
            from marts.usage_summary
            where usage_summary.tenant_id = %(tenant_id)s
                and usage_summary.date between %(first_day)s and %(last_day)s
        ) as part
    ) as daily,
    (
        select row_to_json(part)
        from (
            select
                usage_daily.feature,
                trim_scale(sum(usage_daily.estimated_cost_usd) * 100) as estimated_cost_cents
            from marts.usage_daily
            where usage_daily.tenant_id = %(tenant_id)s
                and usage_daily.date between %(month_first)s and %(month_last)s
            group by usage_daily.feature
            having sum(usage_daily.estimated_cost_usd) > 0
            order by sum(usage_daily.estimated_cost_usd) desc, usage_daily.feature
            limit 1
        ) as part
    ) as top_feature,
    (
        select json_build_array(trim_scale(tenant_monthly.projected_cost_cents))
        from marts.tenant_monthly
        where tenant_monthly.tenant_id = %(tenant_id)s
            and tenant_monthly.month = %(month)s
    ) as projection,
    (
        select json_build_array(trim_scale(tenant_monthly.adjustment_cents))
        from marts.tenant_monthly
        where tenant_monthly.tenant_id = %(tenant_id)s
            and tenant_monthly.month = %(month)s
    ) as adjustment,
    (
        select coalesce(json_agg(part order by part.closed_month, part.channel, part.reason), '[]')
        from (
            select
                booked_adjustments.month as closed_month,
                booked_adjustments.channel,
                booked_adjustments.reason,
                trim_scale(sum(booked_adjustments.unit_count)) as unit_count,
                trim_scale(sum(booked_adjustments.cost_usd) * 100) as cost_cents,
                trim_scale(sum(booked_adjustments.charged_cost_usd) * 100) as charged_cost_cents
            from ops.booked_adjustments
            where booked_adjustments.tenant_id = %(tenant_id)s
                and booked_adjustments.booked_month = %(month)s
            group by booked_adjustments.month, booked_adjustments.channel, booked_adjustments.reason
        ) as part
    ) as adjustments
from marts.tenants
where tenants.tenant_id = %(tenant_id)s
"""

# Of the row's days the first that is in the range: of a week or month that begins before it, the range's own first day.
_FIRST_OF_PART = "greatest(date_trunc(%(granularity)s, {mart}.date::timestamp)::date, %(first_day)s::date)"

# A channel's totals. Of a row of a build before kinds were kept its count is all that it says.
_PARTS_OF_CHANNELS = f"""
    select
        {_FIRST_OF_PART.format(mart="usage_summary")} as date,
        usage_summary.channel,
        trim_scale(sum(usage_summary.unit_count)) as unit_count,
        sum(usage_summary.request_count) as request_count,
        trim_scale(sum(usage_summary.estimated_cost_cents)) as estimated_cost_cents,
        trim_scale(
            case when count(*) = count(usage_summary.billed_cost_cents) then sum(usage_summary.billed_cost_cents) end
        ) as billed_cost_cents,
        trim_scale(sum(usage_summary.unpriced_unit_count)) as unpriced_unit_count,
        ops.sum_units(
            case
                when coalesce(usage_summary.unpriced_units, '{{}}') <> '{{}}' then usage_summary.unpriced_units
                else jsonb_build_object(usage_summary.unit, usage_summary.unpriced_unit_count)
            end
        ) filter (where usage_summary.unpriced_unit_count <> 0 or usage_summary.unpriced_units <> '{{}}') as unpriced_units,
        trim_scale(sum(usage_summary.provisional_unit_count)) as provisional_unit_count,
        bool_and(usage_summary.is_final) as is_final
    from marts.usage_summary
    where usage_summary.tenant_id = %(tenant_id)s
        and usage_summary.date between %(first_day)s and %(last_day)s
        and coalesce(%(channels)s::text[] @> array[usage_summary.channel], true)
    group by 1, 2
"""

# The same of groups of lines: provisional and final as `usage_summary` has it, which knows both by channel only.
_PARTS_OF_GROUPS = f"""
    select
        {_FIRST_OF_PART.format(mart="usage_daily")} as date,
        usage_daily.channel,
        case when 'service' = any(%(dimensions)s::text[]) then usage_daily.service end as service,
        case when 'feature' = any(%(dimensions)s::text[]) then usage_daily.feature end as feature,
        case when 'operation' = any(%(dimensions)s::text[]) then usage_daily.operation end as operation,
        case when 'model' = any(%(dimensions)s::text[]) then usage_daily.model end as model,
        trim_scale(coalesce(sum(usage_daily.unit_count) filter (where lines.is_channel_unit), 0)) as unit_count,
        sum(usage_daily.request_count) as request_count,
        trim_scale(sum(usage_daily.estimated_cost_usd) * 100) as estimated_cost_cents,
        trim_scale(
            case when count(*) = count(usage_daily.billed_cost_usd) then sum(usage_daily.billed_cost_usd) * 100 end
        ) as billed_cost_cents,
        trim_scale(coalesce(sum(usage_daily.unpriced_unit_count) filter (where lines.is_channel_unit), 0)) as unpriced_unit_count,
        ops.sum_units(jsonb_build_object(usage_daily.unit, usage_daily.unpriced_unit_count))
        filter (where usage_daily.unpriced_unit_count <> 0) as unpriced_units,
        trim_scale(
            coalesce(
                sum(usage_daily.unit_count) filter (
                    where lines.is_channel_unit
                        and usage_daily.evidence = 'tracked'
                        and usage_daily.service = any(%(settled_services)s)
                ),
                0
            )
        ) as provisional_unit_count,
        bool_and(usage_summary.is_final) as is_final
    from marts.usage_daily
    inner join marts.usage_summary
        on usage_daily.tenant_id = usage_summary.tenant_id
        and usage_daily.date = usage_summary.date
        and usage_daily.channel = usage_summary.channel
    cross join lateral (select ops.is_channel_unit(usage_daily.channel, usage_daily.unit) as is_channel_unit) as lines
    where usage_daily.tenant_id = %(tenant_id)s
        and usage_summary.tenant_id = %(tenant_id)s
        and usage_daily.date between %(first_day)s and %(last_day)s
        and coalesce(%(channels)s::text[] @> array[usage_daily.channel], true)
        and coalesce(%(services)s::text[] @> array[usage_daily.service], true)
        and coalesce(%(features)s::text[] @> array[usage_daily.feature], true)
        and coalesce(%(operations)s::text[] @> array[usage_daily.operation], true)
        and coalesce(%(models)s::text[] @> array[usage_daily.model], true)
    group by 1, 2, 3, 4, 5, 6
"""

# Channels for a dense series: those used in the range, and those that a limit watches in its last month. Of a delta the days that a
# build has replaced, or may be replacing.
_SERIES = """
select
    tenants.tenant_id,
    (
        select coalesce(json_agg(distinct limits.channel), '[]')
        from marts.tenant_usage_status as limits
        where limits.tenant_id = %(tenant_id)s
            and limits.month = %(month)s
            and coalesce(%(channels)s::text[] @> array[limits.channel], true)
    ) as limited_channels,
    (
        select coalesce(json_agg(days.day::date), '[]')
        from generate_series(%(first_day)s::timestamp, %(last_day)s::timestamp, interval '1 day') as days (day)
        where %(since)s::timestamptz is null
            or exists (
                select
                from ops.built_windows
                where built_windows.window_start <= days.day::date
                    and built_windows.window_end > days.day::date
                    and coalesce(built_windows.finished_at, 'infinity') > %(since)s::timestamptz
            )
    ) as changed_days,
    (
        select coalesce(json_agg(part), '[]')
        from ({parts}) as part
    ) as rows,
    {sources} as sources
from marts.tenants
where tenants.tenant_id = %(tenant_id)s
"""

DAILY = _SERIES.format(parts=_PARTS_OF_CHANNELS, sources=SOURCES)
DAILY_GROUPS = _SERIES.format(parts=_PARTS_OF_GROUPS, sources=SOURCES)

FEATURES = """
select
    tenants.tenant_id,
    (
        select coalesce(json_agg(part), '[]')
        from (
            select
                usage_daily.feature,
                usage_daily.channel,
                usage_daily.source,
                coalesce(min(usage_daily.unit) filter (where usage_daily.unit = 'tokens'), min(usage_daily.unit)) as unit,
                sum(usage_daily.request_count) as request_count,
                trim_scale(coalesce(sum(usage_daily.unit_count) filter (where ops.is_channel_unit(usage_daily.channel, usage_daily.unit)), 0)) as unit_count,
                trim_scale(sum(usage_daily.estimated_cost_usd) * 100) as estimated_cost_cents,
                trim_scale(coalesce(sum(usage_daily.unpriced_unit_count) filter (where ops.is_channel_unit(usage_daily.channel, usage_daily.unit)), 0)) as unpriced_unit_count,
                ops.sum_units(jsonb_build_object(usage_daily.unit, usage_daily.unpriced_unit_count))
                filter (where usage_daily.unpriced_unit_count <> 0) as unpriced_units
            from marts.usage_daily
            where usage_daily.tenant_id = %(tenant_id)s
                and usage_daily.date between %(first_day)s and %(last_day)s
            group by usage_daily.feature, usage_daily.channel, usage_daily.source
            order by
                sum(usage_daily.estimated_cost_usd) desc nulls last,
                usage_daily.feature,
                usage_daily.channel,
                usage_daily.source
        ) as part
    ) as features
from marts.tenants
where tenants.tenant_id = %(tenant_id)s
"""

ACCESS = """
select
    access.allowed,
    access.status,
    access.used,
    access.reserved,
    access.cap,
    access.reason
from ops.check_access(%(tenant_id)s, %(channel)s, %(units)s, %(month)s) as access
"""
