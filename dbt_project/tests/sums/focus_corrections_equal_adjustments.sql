-- The corrections in the FOCUS export are the adjustments booked, each once and to the last digit. Whatever the window: so is the mart.
with corrections as (
    select
        tenant_id,
        date,
        sum("BilledCost") as charged,
        sum("x_EstimatedCost") as estimated,
        sum("x_UnpricedQuantity") as unpriced,
        count(*) as charge_count
    from {{ ref('focus_cost_and_usage') }}
    where "ChargeClass" = 'Correction'
    group by tenant_id, date
),

adjustments as (
    select
        tenant_id,
        greatest(booked_on, to_date(booked_month, 'YYYY-MM')) as date,
        sum(charged_cost_usd) as charged,
        sum(cost_usd) as estimated,
        sum(unpriced_unit_count) as unpriced,
        count(*) as charge_count
    from {{ ref('stg_ops__cost_adjustments') }}
    group by tenant_id, greatest(booked_on, to_date(booked_month, 'YYYY-MM'))
)

select
    coalesce(corrections.tenant_id, adjustments.tenant_id) as tenant_id,
    coalesce(corrections.date, adjustments.date) as date
from corrections
full join adjustments
    on
        corrections.tenant_id = adjustments.tenant_id
        and corrections.date = adjustments.date
where
    corrections.charged is distinct from adjustments.charged
    or corrections.estimated is distinct from adjustments.estimated
    or corrections.unpriced is distinct from adjustments.unpriced
    or corrections.charge_count is distinct from adjustments.charge_count
