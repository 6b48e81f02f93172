-- What is explained is what is served: the lines of a cell sum to the cell.
with lines as (
    select
        tenant_id,
        date,
        channel,
        service,
        evidence,
        sum(unit_count) as units,
        sum(request_count) as requests,
        sum(estimated_cost_usd) as cost
    from {{ ref('usage_lines') }}
    where {{ in_window('date', 'day') }}
    group by tenant_id, date, channel, service, evidence
),

daily as (
    select
        tenant_id,
        date,
        channel,
        service,
        evidence,
        sum(unit_count) as units,
        sum(request_count) as requests,
        sum(estimated_cost_usd) as cost
    from {{ ref('usage_daily') }}
    where {{ in_window('date', 'day') }}
    group by tenant_id, date, channel, service, evidence
)

select
    coalesce(lines.tenant_id, daily.tenant_id) as tenant_id,
    coalesce(lines.date, daily.date) as date,
    coalesce(lines.service, daily.service) as service
from lines
full join daily
    on
        lines.tenant_id = daily.tenant_id
        and lines.date = daily.date
        and lines.channel = daily.channel
        and lines.service = daily.service
        and lines.evidence = daily.evidence
where
    lines.units is distinct from daily.units
    or lines.requests is distinct from daily.requests
    or lines.cost is distinct from daily.cost
