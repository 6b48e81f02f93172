-- Grain: service × record key of which tracked events name a tenant: what the earliest says, where it is one that we know. To be looked up
-- by the key: what belongs to whom another record belongs to (a call's recordings and legs, a charge's refunds) asks here. Not additive.
with events as not materialized (
    select * from {{ ref('stg_tracking__events') }}
),

tenants as (
    select distinct tenant_id from {{ ref('stg_directory__tenants') }}
),

named as (
    select distinct on (service, record_key)
        service,
        record_key,
        tenant_id
    from events
    where tenant_id not in ('', 'unattributed')
    order by service asc, record_key asc, occurred_at asc, event_key asc
),

final as (
    select
        named.service,
        named.record_key,
        named.tenant_id
    from named
    inner join tenants
        on named.tenant_id = tenants.tenant_id
)

select * from final
