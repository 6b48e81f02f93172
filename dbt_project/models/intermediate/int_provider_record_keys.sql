-- Grain: service × record key: every record that a provider has, whatever its status and day: where it stands, and whether it
-- says for good that nothing was used. Without Twilio's number days, which are no records but follow from the numbers. Stacked
-- without a cast, so that looking a key up finds each table's index. Not additive.
with messages as (
    select * from {{ ref('stg_twilio__messages') }}
),

calls as (
    select * from {{ ref('stg_twilio__calls') }}
),

recordings as (
    select * from {{ ref('stg_twilio__recordings') }}
),

transactions as (
    select * from {{ ref('stg_stripe__balance_transactions') }}
),

final as (
    select
        'twilio_sms' as service,
        message_sid as record_key,
        usage_date,
        {{ is_unused('status', 'sms') }} as is_unused
    from messages
    union all
    select
        'twilio_voice' as service,
        call_sid as record_key,
        usage_date,
        -- A call that is still going on, or of which no minutes have been told, is neither used nor unused.
        {{ is_unused('status', 'voice') }} or (status = 'completed' and duration_seconds = 0) as is_unused
    from calls
    union all
    select
        'twilio_voice' as service,
        recording_sid as record_key,
        usage_date,
        {{ is_unused('status', 'recording') }} or (status in ('completed', 'deleted') and duration_seconds = 0) as is_unused
    from recordings
    union all
    select
        'stripe' as service,
        transaction_id as record_key,
        usage_date,
        false as is_unused
    from transactions
)

select * from final
