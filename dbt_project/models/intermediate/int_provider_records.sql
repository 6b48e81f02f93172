-- Grain: service × record key: each record of a provider's that counts, of services whose provider keeps a record of each use.
-- Additive: unit_count within a channel, billed_cost_usd where known. A provider's records join the rest here: one branch each.
-- Holds the days of the build that made the view.
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
    select
        'twilio_sms' as service,
        message_sid as record_key,
        usage_date,
        tenant_id,
        tenant_id as named_tenant_id,
        attribution,
        channel,
        operation,
        direction,
        'twilio' as source,
        unit_count::numeric(38, 18) as unit_count,
        null::numeric as amount_usd,
        '' as unconverted_currency,
        billed_cost_usd
    from messages
    union all
    select
        'twilio_voice',
        call_sid,
        usage_date,
        tenant_id,
        named_tenant_id,
        attribution,
        'voice',
        direction,
        direction,
        'twilio',
        unit_count::numeric(38, 18),
        null,
        '',
        billed_cost_usd
    from calls
    union all
    select
        'twilio_voice',
        recording_sid,
        usage_date,
        tenant_id,
        named_tenant_id,
        attribution,
        'recording',
        'recording',
        'none',
        'twilio',
        unit_count::numeric(38, 18),
        null,
        '',
        billed_cost_usd
    from recordings
    union all
    select
        'twilio_phone',
        record_key,
        usage_date,
        tenant_id,
        tenant_id,
        attribution,
        'phone',
        number_type,
        'none',
        'twilio',
        1::numeric(38, 18),
        null,
        '',
        -- Twilio says what an account's numbers cost, not what one does.
        null
    from number_days
    union all
    select
        'stripe',
        transaction_id,
        usage_date,
        tenant_id,
        tenant_id,
        attribution,
        'payments',
        operation,
        'none',
        'stripe',
        unit_count::numeric(38, 18),
        amount_usd,
        unconverted_currency,
        billed_cost_usd
    from transactions
)

select * from final
