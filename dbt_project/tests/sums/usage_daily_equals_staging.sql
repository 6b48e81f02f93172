-- Every message, call, recording, number_day, request and email that counts is in the mart once: no join multiplies, none loses. What is provisional is
-- in no provider's figure. Sums are compared on days that the provider has finished with, or of which nothing was tracked: before
-- that, what was tracked may be ahead of it.
with stats as (
    select * from {{ ref('stg_sendgrid__stats') }}
    where {{ in_open_window('usage_date') }}
),

subusers_by_day as (
    select
        usage_date,
        sum(request_count) as request_count
    from {{ ref('stg_sendgrid__subuser_stats') }}
    where {{ in_open_window('usage_date') }}
    group by usage_date
),

-- The parent account's own: all of its stats, or what they exceed its subusers' by.
emails as (
    select
        coalesce(stats.usage_date, subusers_by_day.usage_date) as usage_date,
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

number_days as (
    select day::date as usage_date
    from generate_series({{ window_start() }}::timestamp, {{ window_end() }}::timestamp - interval '1 day', interval '1 day') as day
),

expected as (
    {% set sums -%}
        select
            usage_date,
            'twilio_sms' as service,
            count(*) as requests,
            sum(case when coalesce(num_media, 0) > 0 then 1 else greatest(coalesce(num_segments, 1), 1) end)::numeric as units
        from {{ every_message() }}
        where
            {{ in_open_window('usage_date') }}
            and not {{ is_unused('status', 'sms') }}
        group by usage_date
    {%- endset -%}
    {{ by_workers(sums, 'usage_date date, service text, requests bigint, units numeric') }}
    union all
    select
        usage_date,
        'twilio_voice',
        count(*),
        sum(ceil(duration_seconds / 60.0))
    from (
        select
            usage_date,
            duration_seconds
        from {{ ref('stg_twilio__calls') }}
        where
            {{ in_open_window('usage_date') }}
            and status = 'completed'
            and duration_seconds > 0
        union all
        select
            usage_date,
            duration_seconds
        from {{ ref('stg_twilio__recordings') }}
        where
            {{ in_open_window('usage_date') }}
            and status in ('completed', 'deleted')
            and duration_seconds > 0
    ) as talk
    group by usage_date
    union all
    select
        number_days.usage_date,
        'twilio_phone',
        count(distinct numbers.number_hash),
        count(distinct numbers.number_hash)
    from number_days
    inner join {{ ref('stg_twilio__phone_numbers') }} as numbers
        on
            number_days.usage_date >= numbers.held_from
            and (
                number_days.usage_date < coalesce(numbers.released_on, numbers.last_seen_on + 1)
                or number_days.usage_date = numbers.held_from
            )
    where {{ in_open_window('number_days.usage_date') }}
    group by number_days.usage_date
    union all
    -- A record of any other service is one unit.
    select
        usage_date,
        service,
        count(distinct record_key),
        count(distinct record_key)
    from {{ ref('int_provider_record_keys') }}
    where
        {{ in_open_window('usage_date') }}
        and not is_unused
        and service not in ('twilio_sms', 'twilio_voice')
    group by usage_date, service
    union all
    select
        usage_date,
        'cloudflare_r2',
        sum(requests),
        sum(units)
    from (
        select
            usage_date,
            request_count as requests,
            request_count::numeric as units
        from {{ ref('stg_cloudflare__operations') }}
        where
            {{ in_open_window('usage_date') }}
            and response_status not in (401, 403)
        union all
        select
            usage_date,
            0,
            max(payload_bytes + metadata_bytes) / 1000000000.0
        from {{ ref('stg_cloudflare__storage') }}
        where {{ in_open_window('usage_date') }}
        group by usage_date, account_id, bucket
    ) as r2
    group by usage_date
    union all
    select
        usage_date,
        'openai',
        sum(requests),
        sum(units)
    from (
        select
            usage_date,
            request_count as requests,
            input_tokens + output_tokens as units
        from {{ ref('stg_openai__completions') }}
        where {{ in_open_window('usage_date') }}
        union all
        select
            usage_date,
            request_count,
            input_tokens
        from {{ ref('stg_openai__embeddings') }}
        where {{ in_open_window('usage_date') }}
        union all
        select
            usage_date,
            request_count,
            input_tokens
        from {{ ref('stg_openai__moderations') }}
        where {{ in_open_window('usage_date') }}
        union all
        select
            usage_date,
            request_count,
            quantity
        from {{ ref('stg_openai__counted') }}
        where {{ in_open_window('usage_date') }}
    ) as usage
    group by usage_date
    union all
    select
        usage_date,
        'anthropic',
        -- Null: the report does not count the calls.
        case when count(*) = count(request_count) then sum(request_count + web_search_requests) end,
        sum(input_tokens + output_tokens + web_search_requests)
    from {{ ref('stg_anthropic__usage') }}
    where
        {{ in_open_window('usage_date') }}
        and input_tokens + output_tokens + web_search_requests > 0
    group by usage_date
    union all
    select
        usage_date,
        'sendgrid',
        subusers + parent,
        subusers + parent
    from emails
),

found as (
    select
        date as usage_date,
        service,
        sum(request_count) as requests,
        sum(unit_count) as units
    from {{ ref('usage_daily') }}
    where
        {{ in_open_window('date') }}
        and service in ({{ provider_services() }})
        and evidence <> 'tracked'
    group by date, service
),

tracked_days as (
    select distinct
        usage_date,
        service
    from {{ ref('int_settled_records') }}
    where
        {{ in_open_window('usage_date') }}
        and service in ({{ aggregate_services() }})
        and is_counted
),

compared as (
    select
        coalesce(expected.usage_date, found.usage_date) as usage_date,
        coalesce(expected.service, found.service) as service,
        case when expected.usage_date is null then 0 else coalesce(expected.requests, found.requests, 0) end as requests,
        coalesce(found.requests, 0) as found_requests,
        coalesce(expected.units, 0) as units,
        coalesce(found.units, 0) as found_units
    from expected
    full join found
        on
            expected.usage_date = found.usage_date
            and expected.service = found.service
)

select compared.*
from compared
left join tracked_days
    on
        compared.usage_date = tracked_days.usage_date
        and compared.service = tracked_days.service
where
    (compared.requests <> compared.found_requests or compared.units <> compared.found_units)
    and (tracked_days.usage_date is null or not {{ is_open('compared.usage_date') }})
