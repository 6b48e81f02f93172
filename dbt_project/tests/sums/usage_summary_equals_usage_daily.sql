-- The summary and the wide daily row are sums of usage_daily, and nothing else.
with daily as (
    select
        tenant_id,
        date,
        {{ channel_units() }} as units,
        coalesce(sum(estimated_cost_usd), 0) as cost
    from {{ ref('usage_daily') }}
    where {{ in_window('date', 'day') }}
    group by tenant_id, date
),

summary as (
    select
        tenant_id,
        date,
        sum(unit_count) as units,
        coalesce(sum(estimated_cost_cents), 0) / 100 as cost
    from {{ ref('usage_summary') }}
    where {{ in_window('date', 'day') }}
    group by tenant_id, date
),

wide as (
    select
        tenant_id,
        date,
        coalesce(estimated_cost_usd, 0) as cost
    from {{ ref('billing_usage_daily') }}
    where {{ in_window('date', 'day') }}
)

select
    coalesce(daily.tenant_id, summary.tenant_id) as tenant_id,
    coalesce(daily.date, summary.date) as date
from daily
full join summary
    on
        daily.tenant_id = summary.tenant_id
        and daily.date = summary.date
left join wide
    on
        daily.tenant_id = wide.tenant_id
        and daily.date = wide.date
where
    daily.units is distinct from summary.units
    or daily.cost is distinct from summary.cost
    or daily.cost is distinct from wide.cost
