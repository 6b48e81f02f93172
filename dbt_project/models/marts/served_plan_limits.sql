-- Grain: plan × channel × metric. Not additive.
-- A view: limits are as many as the seed has. Named apart from the seed it serves: dbt wants one name a node.
{{ config(
    materialized='view',
    contract={'enforced': false},
    post_hook="{{ protect_view() }}",
    alias='plan_limits'
) }}

with limits as (
    select * from {{ ref('int_plan_limits') }}
)

select * from limits
where {{ visible_to_known_callers() }}
