-- Grain: call leg that counts. Additive: unit_count (started minutes), request_count, billed_cost_usd.
with legs as (
    select * from {{ ref('int_twilio_call_owners') }}
),

final as (
    select
        legs.call_sid,
        legs.usage_date,
        -- A child leg that belongs to nobody by itself belongs to its parent's tenant, whenever the parent started.
        coalesce(legs.own_tenant_id, parent.own_tenant_id, 'unattributed') as tenant_id,
        legs.direction,
        ceil(legs.duration_seconds / 60.0) as unit_count,
        {{ twilio_billed_usd('legs.price', 'legs.price_unit', 'legs.started_at') }} as billed_cost_usd
    from legs
    left join legs as parent
        on legs.parent_call_sid = parent.call_sid
    where legs.status = 'completed'
        and legs.duration_seconds > 0
)

select * from final
