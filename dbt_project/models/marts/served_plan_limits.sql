-- Grain: plan × channel × metric. The seed, typed, with its defaults. Not additive.
-- Named apart from the seed it serves: dbt wants one name a node.
{{ config(window='all', post_hook="{{ protect_rows() }}", alias='plan_limits') }}

select
    plan::text as plan,
    channel::text as channel,
    metric::text as metric,
    coalesce(direction, 'any')::text as direction,
    monthly_cap::numeric(38, 18) as monthly_cap,
    coalesce(warning_threshold_pct, 80)::numeric(38, 18) as warning_threshold_pct,
    {{ built_at() }} as updated_at
from {{ ref('plan_limits') }}
