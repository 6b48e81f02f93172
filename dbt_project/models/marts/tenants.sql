-- Grain: tenant, and the pseudo-tenant `unattributed`. The version of the as-of day. Not additive.
{{ config(window='all', kept_by=['tenant_id'], post_hook="{{ protect_rows() }}") }}

with versions as (
    select * from {{ ref('stg_directory__tenants') }}
),

plans as (
    select * from {{ ref('plans') }}
),

current_versions as (
    -- The version of the as-of day; a tenant whose versions all lie elsewhere shows its nearest.
    select distinct on (tenant_id)
        tenant_id,
        name,
        plan,
        status,
        usage_hard_stop_enabled
    from versions
    order by
        tenant_id,
        valid_from <= {{ as_of_date() }} and valid_to > {{ as_of_date() }} desc,
        valid_from <= {{ as_of_date() }} desc,
        valid_from desc
),

everybody as (
    select * from current_versions
    union all
    select
        'unattributed' as tenant_id,
        'Unattributed' as name,
        null as plan,
        'active' as status,
        false as usage_hard_stop_enabled
),

final as (
    select
        everybody.tenant_id::text as tenant_id,
        everybody.name::text as name,
        everybody.plan::text as plan,
        plans.label::text as plan_label,
        plans.monthly_base_price_usd::numeric(38, 18) as monthly_base_price_usd,
        everybody.status::text as status,
        everybody.usage_hard_stop_enabled::boolean as usage_hard_stop_enabled,
        {{ built_at() }} as updated_at
    from everybody
    left join plans
        on everybody.plan = plans.plan
)

select * from final
