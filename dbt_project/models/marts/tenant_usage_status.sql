-- Grain: tenant × month × channel × metric: each limit in force and what was used of it. Not additive.
-- The commit that shows what was used is the one from which the cap no longer counts it as live: hence the last hook.
{{ config(
    window='month',
    pre_hook="{{ new_columns(computed={'month_start': ['date', month_start()]}) }}",
    post_hook=["{{ protect_rows() }}", "{{ forget_built_usage() }}"],
    indexes=[{'columns': ['month']}]
) }}

with limits as (
    select * from {{ ref('int_tenant_month_limits') }}
),

daily as (
    select * from {{ ref('usage_daily') }}
    where
        date >= {{ window_first_month() }}
        and date < {{ window_after_last_month() }}
),

usage as (
    select
        tenant_id,
        to_char(date, 'YYYY-MM') as month,
        channel,
        direction,
        {{ channel_units() }} as unit_count,
        sum(request_count) as request_count,
        sum(estimated_cost_usd) * 100 as cost_cents
    from daily
    group by tenant_id, to_char(date, 'YYYY-MM'), channel, direction
),

measured as (
    select
        limits.tenant_id,
        limits.month,
        limits.channel,
        limits.metric,
        limits.direction,
        limits.cap,
        limits.warning_threshold_pct,
        coalesce(
            sum(
                case limits.metric
                    when 'units' then usage.unit_count
                    when 'requests' then usage.request_count
                    when 'cost_cents' then usage.cost_cents
                end
            ),
            0
        ) as used
    from limits
    left join usage
        on
            limits.tenant_id = usage.tenant_id
            and limits.month = usage.month
            and limits.channel = usage.channel
            and limits.direction in ('any', usage.direction)
    group by
        limits.tenant_id,
        limits.month,
        limits.channel,
        limits.metric,
        limits.direction,
        limits.cap,
        limits.warning_threshold_pct
),

compared as (
    select
        measured.*,
        ops.percent_of_cap(used, cap) as percent_used
    from measured
),

final as (
    select
        tenant_id::text as tenant_id,
        month::text as month,
        {{ month_start() }} as month_start,
        channel::text as channel,
        metric::text as metric,
        direction::text as direction,
        used::numeric(38, 18) as used,
        cap::numeric(38, 18) as cap,
        warning_threshold_pct::numeric(38, 18) as warning_threshold_pct,
        percent_used::numeric(38, 18) as percent_used,
        ops.limit_status(used, cap, percent_used, warning_threshold_pct)::text as status,
        {{ built_at() }} as updated_at
    from compared
)

select * from final
