-- Grain: recording that counts. Additive: unit_count (started minutes), billed_cost_usd. One that was deleted after it was made
-- counts: its cost is not taken back.
{{ config(materialized='ephemeral') }}

with recordings as (
    select * from {{ ref('stg_twilio__recordings') }}
),

legs as not materialized (
    select * from {{ ref('int_twilio_call_owners') }}
),

owners as not materialized (
    select * from {{ ref('stg_directory__resources') }}
),

named as not materialized (
    select * from {{ ref('int_tracked_tenants') }}
),

final as (
    select
        recordings.recording_sid,
        recordings.usage_date,
        coalesce(ancestor.own_tenant_id, subaccount.tenant_id, 'unattributed') as tenant_id,
        coalesce(ancestor.named_tenant_id, subaccount.tenant_id, 'unattributed') as named_tenant_id,
        case
            when subaccount.tenant_id = coalesce(ancestor.named_tenant_id, subaccount.tenant_id) then 'subaccount'
            when ancestor.named_tenant_id is not null then 'call'
            else 'none'
        end as attribution,
        ceil(recordings.duration_seconds / 60.0) as unit_count,
        {{ twilio_billed_usd('recordings.price', 'recordings.price_unit', 'recordings.created_at') }} as billed_cost_usd
    from recordings
    {{ join_owner('subaccount', 'recordings', 'twilio', 'subaccount', 'recordings.account_sid') }}
    -- It belongs to whom its call belongs to, whenever that began and whether or not it counts, also where the account is another's by now.
    {{ join_call_owner('ancestor', 'recordings.call_sid', 'recordings.call_sid is not null') }}
    where
        recordings.status in ('completed', 'deleted')
        and recordings.duration_seconds > 0
)

select * from final
