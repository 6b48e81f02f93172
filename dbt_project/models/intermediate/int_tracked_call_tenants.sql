-- Grain: call that tracked events name a tenant of, the earliest of them one that we know. To be looked up by the call's id: what belongs
-- to whom the call belongs to (its recordings, the legs dialled from it) asks here. Not additive.
with events as not materialized (
    select * from {{ ref('stg_tracking__events') }}
),

tenants as (
    select distinct tenant_id from {{ ref('stg_directory__tenants') }}
),

named as (
    select distinct on (record_key)
        record_key,
        tenant_id
    from events
    where
        service = 'twilio_voice'
        and tenant_id not in ('', 'unattributed')
    order by record_key asc, occurred_at asc, event_key asc
),

final as (
    select
        named.record_key as call_sid,
        named.tenant_id
    from named
    inner join tenants
        on named.tenant_id = tenants.tenant_id
)

select * from final
