-- Grain: usage line of nobody's × what it was used by: a resource of a provider that the directory gives to no tenant that day, or a
-- tenant that events name and the directory does not know. Additive: counts, and estimated_cost_usd where it is known: their sums are
-- those of usage_daily's rows of `unattributed`.
-- A phone number is its keyed hash, as everywhere; a line that is of several resources is shared out by units, Stripe's by its fees.
-- A view: what is nobody's should be little, and is looked at by people.
{{ config(
    materialized='view',
    contract={'enforced': false},
    post_hook="{{ protect_view() }}"
) }}

with lines as (
    select * from {{ ref('usage_lines') }}
    where
        tenant_id = 'unattributed'
        and {{ visible_to_caller('tenant_id') }}
),

line_records as (
    select * from {{ ref('usage_line_records') }}
    where tenant_id = 'unattributed'
),

messages as (
    select * from {{ ref('stg_twilio__messages') }}
),

calls as (
    select * from {{ ref('stg_twilio__calls') }}
),

recordings as (
    select * from {{ ref('stg_twilio__recordings') }}
),

numbers as (
    select distinct number_hash from {{ ref('stg_twilio__phone_numbers') }}
),

transactions as (
    select * from {{ ref('stg_stripe__balance_transactions') }}
),

events as (
    select * from {{ ref('stg_tracking__events') }}
),

-- What a provider keeps sums of says itself what used it.
of_sums as (
    select
        lines.date,
        lines.line_id,
        {{ resource_type_of('lines.service') }} as resource_type,
        lines.resource_id,
        '' as record_id,
        lines.unit_count,
        lines.request_count,
        null::numeric as billed_cost_usd
    from lines
    where
        lines.resource_id <> ''
        or lines.evidence = 'residual'
),

-- Of what is known by its records, each says: our number, whose service or account it was, or which tenant its event names.
of_records as (
    select
        lines.date,
        lines.line_id,
        case
            when line_records.raw_table = 'raw.usage_events' then 'tenant'
            when line_records.raw_table = 'raw.stripe_balance_transactions'
                then case when transactions.connected_account_id is null and transactions.metadata_tenant_id is not null then 'tenant' else 'account' end
            when messages.messaging_service_sid is not null and numbers.number_hash is null then 'messaging_service'
            when
                coalesce(messages.message_sid, calls.call_sid, recorded.call_sid) is not null
                or line_records.raw_table = 'raw.twilio_phone_numbers'
                then 'phone_number'
            else 'subaccount'
        end as resource_type,
        case
            when line_records.raw_table = 'raw.usage_events' then nullif(events.tenant_id, 'unattributed')
            when line_records.raw_table = 'raw.stripe_balance_transactions'
                then coalesce(transactions.connected_account_id, transactions.metadata_tenant_id)
            when messages.messaging_service_sid is not null and numbers.number_hash is null then messages.messaging_service_sid
            when messages.message_sid is not null then {{ our_number('messages') }}
            when calls.call_sid is not null then {{ our_number('calls') }}
            when recorded.call_sid is not null then {{ our_number('recorded') }}
            -- phone:<hash>:<day>; the hash has a colon of its own, after its key's name.
            when line_records.raw_table = 'raw.twilio_phone_numbers' then substring(line_records.record_id from '^phone:(.*):')
            else recordings.account_sid
        end as resource_id,
        line_records.record_id,
        line_records.unit_count,
        line_records.request_count,
        line_records.billed_cost_usd
    from lines
    inner join line_records
        on
            lines.date = line_records.date
            and lines.line_id = line_records.line_id
    left join messages
        on
            line_records.raw_table = 'raw.twilio_messages'
            and line_records.record_id = messages.message_sid
    left join numbers
        on {{ our_number('messages') }} = numbers.number_hash
    left join calls
        on
            line_records.raw_table = 'raw.twilio_calls'
            and line_records.record_id = calls.call_sid
    left join recordings
        on
            line_records.raw_table = 'raw.twilio_recordings'
            and line_records.record_id = recordings.recording_sid
    left join calls as recorded
        on recordings.call_sid = recorded.call_sid
    left join transactions
        on
            line_records.raw_table = 'raw.stripe_balance_transactions'
            and line_records.record_id = transactions.transaction_id
    -- A record may have several events; the first that names somebody says who it was meant for.
    left join lateral (
        select named.tenant_id
        from events as named
        where
            line_records.raw_table = 'raw.usage_events'
            and named.record_key = line_records.record_id
        order by named.tenant_id in ('', 'unattributed'), named.occurred_at, named.event_key
        limit 1
    ) as events on true
    where
        lines.resource_id = ''
        and lines.evidence <> 'residual'
),

used as (
    select * from of_sums
    union all
    select * from of_records
),

weighed as (
    select
        used.*,
        lines.channel,
        lines.service,
        lines.unit,
        lines.estimated_cost_usd,
        case
            when lines.service = 'stripe' and bool_and(used.billed_cost_usd > 0) over of_line then used.billed_cost_usd
            when sum(used.unit_count) over of_line <> 0 then used.unit_count
            else 1
        end as weight
    from used
    inner join lines
        on
            used.date = lines.date
            and used.line_id = lines.line_id
    window of_line as (partition by used.date, used.line_id)
),

final as (
    select
        date,
        line_id,
        channel,
        service,
        unit,
        resource_type,
        coalesce(resource_id, '') as resource_id,
        min(record_id) as record_id,
        sum(unit_count)::numeric(38, 18) as unit_count,
        sum(request_count)::bigint as request_count,
        (min(estimated_cost_usd) * sum(weight) / max(line_weight))::numeric(38, 18) as estimated_cost_usd,
        case when min(estimated_cost_usd) is null then sum(unit_count) else 0 end::numeric(38, 18) as unpriced_unit_count
    from (
        select
            weighed.*,
            sum(weighed.weight) over (partition by weighed.date, weighed.line_id) as line_weight
        from weighed
    ) as shares
    group by date, line_id, channel, service, unit, resource_type, coalesce(resource_id, '')
)

select * from final
