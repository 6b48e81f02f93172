-- A month is the sum of its days, in every month that the window touches.
with daily as (
    select
        tenant_id,
        to_char(date, 'YYYY-MM') as month,
        channel,
        {{ channel_units() }} as units,
        sum(request_count) as requests,
        sum(estimated_cost_usd) * 100 as estimated_cents,
        {{ unpriced_channel_units() }} as unpriced_count,
        {{ unpriced_by_kind() }} as unpriced_units
    from {{ ref('usage_daily') }}
    where
        date >= {{ window_first_month() }}
        and date < {{ window_after_last_month() }}
    group by tenant_id, to_char(date, 'YYYY-MM'), channel
),

monthly as (
    select * from {{ ref('usage_monthly') }}
    where {{ in_window('month', 'month') }}
)

select
    coalesce(daily.tenant_id, monthly.tenant_id) as tenant_id,
    coalesce(daily.month, monthly.month) as month,
    coalesce(daily.channel, monthly.channel) as channel
from daily
full join monthly
    on
        daily.tenant_id = monthly.tenant_id
        and daily.month = monthly.month
        and daily.channel = monthly.channel
where
    daily.units is distinct from monthly.unit_count
    or daily.requests is distinct from monthly.request_count
    or daily.estimated_cents is distinct from monthly.estimated_cost_cents
    or daily.unpriced_count is distinct from monthly.unpriced_unit_count
    or daily.unpriced_units is distinct from monthly.unpriced_units
