-- Grain: plan × channel × metric. The seed, with its defaults. Not additive.
-- A view: limits are as many as the seed has. Named apart from the seed it serves: dbt wants one name a node.
{{ config(
    materialized='view',
    contract={'enforced': false},
    post_hook="{{ protect_view() }}",
    alias='plan_limits'
) }}

select
    plan,
    channel,
    metric,
    coalesce(direction, 'any') as direction,
    monthly_cap,
    coalesce(warning_threshold_pct, 80)::numeric(38, 18) as warning_threshold_pct
from {{ ref('plan_limits') }}
where {{ visible_to_known_callers() }}
