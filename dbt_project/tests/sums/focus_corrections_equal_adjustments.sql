-- The corrections in the FOCUS export are the adjustments booked in those days, each once and to the last digit.
with corrections as (
    select
        tenant_id,
        date,
        sum("x_EstimatedCost") as estimated,
        sum("x_UnpricedQuantity") as unpriced,
        count(*) as charge_count
    from {{ ref('focus_cost_and_usage') }}
    where
        {{ in_window('date', 'day') }}
        and "ChargeClass" = 'Correction'
    group by tenant_id, date
),

adjustments as (
    select
        tenant_id,
        greatest(booked_on, to_date(booked_month, 'YYYY-MM')) as date,
        sum(cost_usd) as estimated,
        sum(unpriced_unit_count) as unpriced,
        count(*) as charge_count
    from {{ ref('stg_ops__cost_adjustments') }}
    where {{ in_window("greatest(booked_on, to_date(booked_month, 'YYYY-MM'))", 'day') }}
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
    corrections.estimated is distinct from adjustments.estimated
    or corrections.unpriced is distinct from adjustments.unpriced
    or corrections.charge_count is distinct from adjustments.charge_count
