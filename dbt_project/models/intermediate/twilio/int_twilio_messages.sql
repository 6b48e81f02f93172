-- Grain: message that counts. Additive: unit_count within a channel, request_count, billed_cost_usd.
{{ config(materialized='ephemeral') }}

with messages as (
    select * from {{ ref('stg_twilio__messages') }}
),

owners as not materialized (
    select * from {{ ref('stg_directory__resources') }}
),

counted as (
    select
        messages.*,
        {{ twilio_direction('messages.twilio_direction') }} as direction,
        coalesce(messages.num_media, 0) > 0 as is_mms
    from messages
    where not {{ is_unused('messages.status', 'sms') }}
),

final as (
    select
        counted.message_sid,
        counted.usage_date,
        coalesce(subaccount.tenant_id, service.tenant_id, number.tenant_id, 'unattributed') as tenant_id,
        case
            when subaccount.tenant_id is not null then 'subaccount'
            when service.tenant_id is not null then 'messaging_service'
            when number.tenant_id is not null then 'phone_number'
            else 'none'
        end as attribution,
        case when counted.is_mms then 'mms' else 'sms' end as channel,
        case when counted.is_mms then 'mms_' else '' end || counted.direction as operation,
        counted.direction,
        case when counted.is_mms then 1 else greatest(coalesce(counted.num_segments, 1), 1) end as unit_count,
        {{ twilio_billed_usd('counted.price', 'counted.price_unit', 'counted.sent_at') }} as billed_cost_usd
    from counted
    {{ join_owner('subaccount', 'counted', 'twilio', 'subaccount', 'counted.account_sid') }}
    {{ join_owner('service', 'counted', 'twilio', 'messaging_service', 'counted.messaging_service_sid') }}
    {{ join_owner(
        'number', 'counted', 'twilio', 'phone_number',
        "case when counted.direction = 'inbound' then counted.to_number_hash else counted.from_number_hash end"
    ) }}
)

select * from final
