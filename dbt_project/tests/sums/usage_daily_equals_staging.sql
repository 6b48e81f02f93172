-- Every message, call, request and email that counts is in the mart once: no join multiplies, none loses.

with stats as (
    select * from {{ ref('stg_sendgrid__stats') }}
    where {{ in_window('usage_date', 'day') }}
),

subusers_by_day as (
    select
        usage_date,
        sum(request_count) as request_count
    from {{ ref('stg_sendgrid__subuser_stats') }}
    where {{ in_window('usage_date', 'day') }}
    group by usage_date
),

-- The parent account's own: all of its stats, or what they exceed its subusers' by.
emails as (
    select
        coalesce(subusers_by_day.request_count, 0) as subusers,
        {% if sendgrid_parent_stats() == 'own' -%}
            coalesce(stats.request_count, 0)
        {%- else -%}
            greatest(coalesce(stats.request_count, 0) - coalesce(subusers_by_day.request_count, 0), 0)
        {%- endif %} as parent
    from stats
    full join subusers_by_day
        on stats.usage_date = subusers_by_day.usage_date
),

expected as (
    select
        'twilio_sms' as service,
        count(*) as requests,
        sum(case when coalesce(num_media, 0) > 0 then 1 else greatest(coalesce(num_segments, 1), 1) end)::numeric as units
    from {{ ref('stg_twilio__messages') }}
    where
        {{ in_window('usage_date', 'day') }}
        and status not in ('failed', 'canceled')
    union all
    select
        'twilio_voice',
        count(*),
        sum(ceil(duration_seconds / 60.0))
    from {{ ref('stg_twilio__calls') }}
    where
        {{ in_window('usage_date', 'day') }}
        and status = 'completed'
        and duration_seconds > 0
    union all
    select
        'openai',
        sum(requests),
        sum(units)
    from (
        select
            request_count as requests,
            input_tokens + output_tokens as units
        from {{ ref('stg_openai__completions') }}
        where {{ in_window('usage_date', 'day') }}
        union all
        select
            request_count,
            input_tokens
        from {{ ref('stg_openai__embeddings') }}
        where {{ in_window('usage_date', 'day') }}
    ) as usage
    union all
    select
        'sendgrid',
        sum(subusers + parent),
        sum(subusers + parent)
    from emails
),

found as (
    select
        service,
        sum(request_count) as requests,
        sum(unit_count) as units
    from {{ ref('usage_daily') }}
    where {{ in_window('date', 'day') }}
    group by service
)

select
    expected.service,
    expected.requests,
    found.requests as found_requests,
    expected.units,
    found.units as found_units
from expected
left join found
    on expected.service = found.service
where
    coalesce(expected.requests, 0) <> coalesce(found.requests, 0)
    or coalesce(expected.units, 0) <> coalesce(found.units, 0)
