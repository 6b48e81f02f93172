-- Grain: service × record key: each record of a provider's that counts, of services whose provider keeps a record of each use.
-- Additive: unit_count within a channel, billed_cost_usd where known. A provider's records join the rest here: one branch each.
{{ config(materialized='ephemeral') }}

with messages as (
    select * from {{ ref('int_twilio_messages') }}
    where {{ in_window('usage_date', 'day') }}
),

calls as (
    select * from {{ ref('int_twilio_calls') }}
    where {{ in_window('usage_date', 'day') }}
),

recordings as (
    select * from {{ ref('int_twilio_recordings') }}
    where {{ in_window('usage_date', 'day') }}
),

number_days as (
    select * from {{ ref('int_twilio_number_days') }}
    where {{ in_window('usage_date', 'day') }}
),

transactions as (
    select * from {{ ref('int_stripe_transactions') }}
    where {{ in_window('usage_date', 'day') }}
),

final as (
    {{ as_provider_records('messages', service="'twilio_sms'", record_key='message_sid', direction='direction', source="'twilio'") }}
    union all
    {{ as_provider_records(
        'calls', service="'twilio_voice'", record_key='call_sid', named_tenant_id='named_tenant_id', channel="'voice'",
        operation='direction', direction='direction', source="'twilio'"
    ) }}
    union all
    {{ as_provider_records(
        'recordings', service="'twilio_voice'", record_key='recording_sid', named_tenant_id='named_tenant_id', channel="'recording'",
        operation="'recording'", source="'twilio'"
    ) }}
    union all
    -- Twilio says what an account's numbers cost, not what one does.
    {{ as_provider_records(
        'number_days', service="'twilio_phone'", channel="'phone'", operation='number_type', source="'twilio'", unit_count='1',
        billed_cost_usd='null'
    ) }}
    union all
    {{ as_provider_records(
        'transactions', service="'stripe'", record_key='transaction_id', named_tenant_id='named_tenant_id', channel="'payments'",
        source="'stripe'", amount_usd='amount_usd', unconverted_currency='unconverted_currency'
    ) }}
)

select * from final
