-- Grain: day × account × service, of days that are closed and whose totals Twilio was asked for after their end: what Twilio says that
-- the account used, beside what its messages and calls come to. A control: nothing is counted from here. Additive: both quantities.
{{ config(materialized='ephemeral') }}

with reads as (
    select * from {{ ref('stg_ops__source_reads') }}
    where
        {{ in_window('usage_date', 'day') }}
        and table_name = 'twilio_usage_records'
),

totals as (
    select * from {{ ref('stg_twilio__usage_records') }}
    where {{ in_window('usage_date', 'day') }}
),

calls as (
    select * from {{ ref('stg_twilio__calls') }}
    where {{ in_window('usage_date', 'day') }}
),

owners as not materialized (
    select * from {{ ref('stg_directory__resources') }}
),

-- Categories nest, and these are whole ones that do not meet.
categories as (
    select *
    from (
        values
        ('sms', 'twilio_sms'),
        ('mms', 'twilio_sms'),
        ('calls', 'twilio_voice')
    ) as known (category, service)
),

-- What was counted before the day had ended is not a total of it.
early as (
    select distinct
        usage_date,
        account_sid
    from totals
    where counted_at < ((usage_date + 1)::timestamp at time zone 'UTC')
),

controlled as (
    select
        reads.usage_date,
        reads.account_id as account_sid,
        categories.category,
        categories.service,
        totals.usage_amount,
        totals.usage_unit
    from reads
    cross join categories
    left join totals
        on
            reads.usage_date = totals.usage_date
            and reads.account_id = totals.account_sid
            and categories.category = totals.category
    left join early
        on
            reads.usage_date = early.usage_date
            and reads.account_id = early.account_sid
    where
        not {{ is_open('reads.usage_date') }}
        and early.account_sid is null
),

recorded as (
    {% set sums -%}
        select
            usage_date,
            account_sid,
            case when coalesce(num_media, 0) > 0 then 'mms' else 'sms' end as category,
            count(*) as event_count,
            sum(case when coalesce(num_media, 0) > 0 then 1 else greatest(coalesce(num_segments, 1), 1) end) as usage_amount
        from {{ every_message() }}
        where
            {{ in_window('usage_date', 'day') }}
            and not {{ is_unused('status', 'sms') }}
        group by usage_date, account_sid, coalesce(num_media, 0) > 0
    {%- endset -%}
    {{ by_workers(sums, 'usage_date date, account_sid text, category text, event_count bigint, usage_amount bigint') }}
    union all
    select
        usage_date,
        account_sid,
        'calls' as category,
        count(*) as event_count,
        sum(ceil(duration_seconds / 60.0)) as usage_amount
    from calls
    where
        status = 'completed'
        and duration_seconds > 0
    group by usage_date, account_sid
),

compared as (
    select
        controlled.usage_date,
        controlled.account_sid,
        controlled.service,
        coalesce(controlled.usage_amount, 0) as control_units,
        -- Usage is what Twilio bills by, which of a message is its segments; but it calls them messages, and whether it means what it says is
        -- not known. Then the nearer of the two is taken for what was meant: an alert of every message of two segments would hide all others.
        case
            when
                controlled.usage_unit = 'messages'
                and abs(coalesce(controlled.usage_amount, 0) - coalesce(recorded.event_count, 0))
                <= abs(coalesce(controlled.usage_amount, 0) - coalesce(recorded.usage_amount, 0))
                then coalesce(recorded.event_count, 0)
            else coalesce(recorded.usage_amount, 0)
        end as record_units
    from controlled
    left join recorded
        on
            controlled.usage_date = recorded.usage_date
            and controlled.account_sid = recorded.account_sid
            and controlled.category = recorded.category
),

summed as (
    select
        usage_date,
        account_sid,
        service,
        sum(control_units)::numeric(38, 18) as control_units,
        sum(record_units)::numeric(38, 18) as record_units
    from compared
    group by usage_date, account_sid, service
),

final as (
    select
        summed.*,
        coalesce(subaccount.tenant_id, 'unattributed') as tenant_id
    from summed
    {{ join_owner('subaccount', 'summed', 'twilio', 'subaccount', 'summed.account_sid') }}
)

select * from final
