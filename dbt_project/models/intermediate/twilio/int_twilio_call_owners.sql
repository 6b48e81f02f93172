-- Grain: call leg. The tenant by the leg's own account or number; null where neither is in the directory that day.
with calls as (
    select * from {{ ref('stg_twilio__calls') }}
),

owners as not materialized (
    select * from {{ ref('stg_directory__resources') }}
),

directed as (
    select
        calls.*,
        {{ twilio_direction('calls.twilio_direction') }} as direction
    from calls
),

final as (
    select
        directed.*,
        coalesce(subaccount.tenant_id, number.tenant_id) as own_tenant_id,
        case
            when subaccount.tenant_id is not null then 'subaccount'
            when number.tenant_id is not null then 'phone_number'
        end as own_attribution
    from directed
    {{ join_owner('subaccount', 'directed', 'twilio', 'subaccount', 'directed.account_sid') }}
    {{ join_owner(
        'number', 'directed', 'twilio', 'phone_number',
        "case when directed.direction = 'inbound' then directed.to_number_hash else directed.from_number_hash end"
    ) }}
)

select * from final
