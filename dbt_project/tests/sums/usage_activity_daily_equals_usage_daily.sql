-- Told by activity or by feature, it is the same usage at the same cost.
with activities as (
    select
        tenant_id,
        date,
        service,
        channel,
        operation,
        sum(unit_count) as units,
        sum(request_count) as requests,
        sum(estimated_cost_usd) as cost
    from {{ ref('usage_activity_daily') }}
    where {{ in_window('date', 'day') }}
    group by tenant_id, date, service, channel, operation
),

daily as (
    select
        tenant_id,
        date,
        service,
        channel,
        operation,
        sum(unit_count) as units,
        sum(request_count) as requests,
        sum(estimated_cost_usd) as cost
    from {{ ref('usage_daily') }}
    where {{ in_window('date', 'day') }}
    group by tenant_id, date, service, channel, operation
)

select
    coalesce(activities.tenant_id, daily.tenant_id) as tenant_id,
    coalesce(activities.date, daily.date) as date,
    coalesce(activities.service, daily.service) as service
from activities
full join daily
    on
        activities.tenant_id = daily.tenant_id
        and activities.date = daily.date
        and activities.service = daily.service
        and activities.channel = daily.channel
        and activities.operation = daily.operation
where
    coalesce(activities.units, 0) <> coalesce(daily.units, 0)
    or coalesce(activities.requests, 0) <> coalesce(daily.requests, 0)
    or coalesce(activities.cost, 0) <> coalesce(daily.cost, 0)
