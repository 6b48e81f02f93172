-- Grain: service × record key. What tracked events say of each record that the window touches: one whose event or whose provider
-- record is dated in it. The events themselves may be of any day. Not additive (a record may count on another day).
{{ config(materialized='ephemeral') }}

with events as not materialized (
    select * from {{ ref('stg_tracking__events') }}
),

record_keys as (
    select * from {{ ref('int_provider_record_keys') }}
),

number_days as (
    select * from {{ ref('int_twilio_number_days') }}
),

tenants as (
    select distinct tenant_id from {{ ref('stg_directory__tenants') }}
),

-- No more of the providers' keys than have an event: of a day's records those may be few, or none.
touched as (
    select
        service,
        record_key
    from events
    where {{ in_window('usage_date', 'day') }}
    union
    select
        record_keys.service,
        record_keys.record_key
    from record_keys
    -- `limit` keeps this a look-up by key: as a plain join it may read every event there is.
    cross join
        lateral (
            select 1
            from events
            where
                record_keys.record_key = events.record_key
                and record_keys.service = events.service
            limit 1
        ) as found
    where {{ in_window('record_keys.usage_date', 'day') }}
    union
    select
        'twilio_phone' as service,
        record_key
    from number_days
),

about as (
    select
        -- Its own service and key, not the found ones, which are equal: the planner knows how many of these there are.
        touched.service,
        touched.record_key,
        found.event_key,
        found.usage_date,
        found.occurred_at,
        found.tenant_id,
        found.channel,
        found.operation,
        found.direction,
        found.source,
        found.feature,
        found.activity,
        found.model,
        found.unit_count,
        found.input_tokens,
        found.cached_input_tokens,
        found.cache_write_tokens,
        found.cache_write_1h_tokens,
        found.output_tokens,
        found.resource_id,
        found.event_status,
        found.amount_minor,
        found.currency,
        found.tier
    from touched
    -- `offset`, as above.
    cross join
        lateral (
            select *
            from events
            where
                events.record_key = touched.record_key
                and events.service = touched.service
            offset 0
        ) as found
),

final as (
    {{ tracked_records('about', 'tenants') }}
)

select * from final
