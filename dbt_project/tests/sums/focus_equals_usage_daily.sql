-- The FOCUS charges of a tenant's day and service, corrections of closed months apart, are the same money and the same usage, to the last
-- digit: billed where the provider has said so of a whole cell, else estimated; estimated; unpriced. The charges are a view: whether they are
-- right is a question of the code, asked by the first build of each, of the last three months of its window.
{{ config(meta={'of_code': true}) }}
{%- set recent = 'date >= ' ~ window_end() ~ ' - 92' %}

with charges as (
    select
        tenant_id,
        date,
        "ServiceName" as service_name,
        sum("BilledCost") as billed,
        sum("x_EstimatedCost") as estimated,
        sum("x_UnpricedQuantity") as unpriced
    from {{ ref('focus_cost_and_usage') }}
    where
        {{ in_window('date', 'day') }}
        and {{ recent }}
        and "ChargeClass" is null
    group by tenant_id, date, "ServiceName"
),

daily as (
    select
        tenant_id,
        date,
        {{ focus_service('service', 1) }} as service_name,
        sum(coalesce(billed_cost_usd, estimated_cost_usd, 0)) as billed,
        sum(estimated_cost_usd) as estimated,
        sum(unpriced_unit_count) as unpriced
    from {{ ref('usage_daily') }}
    where
        {{ in_window('date', 'day') }}
        and {{ recent }}
    group by tenant_id, date, {{ focus_service('service', 1) }}
)

select
    coalesce(charges.tenant_id, daily.tenant_id) as tenant_id,
    coalesce(charges.date, daily.date) as date,
    coalesce(charges.service_name, daily.service_name) as service_name
from charges
full join daily
    on
        charges.tenant_id = daily.tenant_id
        and charges.date = daily.date
        and charges.service_name = daily.service_name
where
    coalesce(charges.billed, 0) <> coalesce(daily.billed, 0)
    or coalesce(charges.estimated, 0) <> coalesce(daily.estimated, 0)
    or coalesce(charges.unpriced, 0) <> coalesce(daily.unpriced, 0)
