-- Grain: adjustment: what a closed month's tenant, day and channel would cost otherwise, booked in an open month. Renames only.
-- Additive: costs, and units within a channel.
select
    id as adjustment_id,
    tenant_id,
    month as closed_month,
    date as usage_date,
    channel,
    booked_month,
    booked_on,
    reason,
    cost_usd,
    billed_cost_usd,
    charged_cost_usd,
    unit_count,
    unpriced_unit_count,
    unpriced_units,
    recorded_at
from {{ source('ops', 'cost_adjustments') }}
