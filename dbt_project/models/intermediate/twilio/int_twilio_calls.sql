-- Grain: call leg that counts. Additive: unit_count (started minutes), request_count, billed_cost_usd.
{{ config(materialized='ephemeral') }}

with legs as not materialized (
    select * from {{ ref('int_twilio_call_owners') }}
),

named as not materialized (
    select * from {{ ref('int_tracked_tenants') }}
),

final as (
    select
        legs.call_sid,
        legs.usage_date,
        coalesce(legs.own_tenant_id, ancestor.own_tenant_id, 'unattributed') as tenant_id,
        coalesce(legs.own_tenant_id, ancestor.named_tenant_id, 'unattributed') as named_tenant_id,
        case
            when legs.own_tenant_id is not null then legs.own_attribution
            when ancestor.named_tenant_id is not null then 'parent_call'
            else 'none'
        end as attribution,
        legs.direction,
        ceil(legs.duration_seconds / 60.0) as unit_count,
        {{ twilio_billed_usd('legs.price', 'legs.price_unit', 'legs.started_at') }} as billed_cost_usd
    from legs
    -- A child leg that belongs to nobody by itself belongs to its parent call's tenant, whenever the parent started and
    -- whether or not it counts.
    {{ join_call_owner('ancestor', 'legs.parent_call_sid', 'legs.own_tenant_id is null') }}
    where
        legs.status = 'completed'
        and legs.duration_seconds > 0
)

select * from final
