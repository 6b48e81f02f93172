-- Grain: service × record key of which tracked events name a tenant that we know: the earliest of these says whose it is. To be looked up
-- by the key: what belongs to whom another record belongs to (a call's recordings and legs, a charge's refunds) asks here. Not additive.
with events as not materialized (
    select * from {{ ref('stg_tracking__events') }}
),

tenants as (
    select distinct tenant_id from {{ ref('stg_directory__tenants') }}
),

final as (
    select distinct on (events.service, events.record_key)
        events.service,
        events.record_key,
        events.tenant_id
    from events
    inner join tenants
        on events.tenant_id = tenants.tenant_id
    where events.tenant_id not in ('', 'unattributed')
    order by events.service asc, events.record_key asc, events.occurred_at asc, events.event_key asc
)

select * from final
