-- Grain: plan × channel × metric. The limits of the seed, with their defaults. Not additive.
{{ config(materialized='ephemeral') }}

select
    plan,
    channel,
    metric,
    coalesce(direction, 'any') as direction,
    monthly_cap,
    coalesce(warning_threshold_pct, 80)::numeric(38, 18) as warning_threshold_pct
from {{ ref('plan_limits') }}
