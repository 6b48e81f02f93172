-- Grain: adjustment: what a closed month's tenant, day and channel would cost otherwise, booked in an open month. Renames only.
-- Additive: cost_usd.
select
    id as adjustment_id,
    tenant_id,
    month as closed_month,
    date as usage_date,
    channel,
    booked_month,
    cost_usd
from {{ source('ops', 'cost_adjustments') }}
