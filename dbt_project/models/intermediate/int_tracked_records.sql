-- Grain: service × record key. What tracked events say of each record that the window touches: one whose event or whose provider
-- record is dated in it. The events themselves may be of any day. Not additive (a record may count on another day).
-- Holds the days of the build that made the view.
with events as not materialized (
    select * from {{ ref('stg_tracking__events') }}
),

record_keys as (
    select * from {{ ref('int_provider_record_keys') }}
),

tenants as (
    select distinct tenant_id from {{ ref('stg_directory__tenants') }}
),

touched as (
    select
        service,
        record_key
    from events
    where {{ in_window('usage_date', 'day') }}
    union
    select
        service,
        record_key
    from record_keys
    where {{ in_window('usage_date', 'day') }}
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
        found.output_tokens,
        found.resource_id,
        found.event_status,
        found.amount_minor,
        found.currency
    from touched
    -- `offset` keeps this a look-up by key: as a plain join it may read every event there is.
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

-- Who sends events may name a tenant that the directory does not know: that must not hide one that it knows.
named as (
    select
        about.*,
        tenants.tenant_id is not null and about.tenant_id not in ('', 'unattributed') as is_known
    from about
    left join tenants
        on about.tenant_id = tenants.tenant_id
),

summed as (
    select
        service,
        record_key,
        count(*) as event_count,
        {{ earliest('usage_date') }} as usage_date,
        coalesce(
            {{ earliest('tenant_id', 'is_known') }},
            {{ earliest('tenant_id', "tenant_id not in ('', 'unattributed')") }}
        ) as event_tenant_id,
        coalesce(
            min(tenant_id) filter (where tenant_id not in ('', 'unattributed'))
            < max(tenant_id) filter (where tenant_id not in ('', 'unattributed')),
            false
        ) as has_several_tenants,
        coalesce({{ earliest('feature', "is_known and feature <> ''") }}, {{ earliest('feature', "feature <> ''") }}) as feature,
        {{ earliest('activity', "activity <> ''") }} as activity,
        {{ earliest('channel') }} as channel,
        coalesce({{ earliest('operation', "operation <> ''") }}, '') as operation,
        coalesce({{ earliest('direction', "direction in ('outbound', 'inbound')") }}, 'none') as direction,
        coalesce({{ earliest('source', "source <> ''") }}, '') as source,
        coalesce({{ earliest('model', "model <> ''") }}, '') as model,
        coalesce({{ earliest('resource_id', "resource_id <> ''") }}, '') as resource_id,
        max(unit_count)::numeric(38, 18) as unit_count,
        max(input_tokens) as input_tokens,
        max(cached_input_tokens) as cached_input_tokens,
        max(cache_write_tokens) as cache_write_tokens,
        max(output_tokens) as output_tokens,
        {{ earliest('amount_minor::numeric / 100', "amount_minor ~ '^-?[0-9]{1,18}$' and currency = 'usd'") }} as amount_usd,
        {{ earliest('currency', 'currency is not null') }} as currency,
        coalesce(bool_or(event_status in ('failed', 'canceled')), false) as has_failed
    from named
    group by service, record_key
),

final as (
    select
        summed.*,
        -- Without a record of the provider's: what is known to have failed does not count, nor a call that no minutes are known of, nor
        -- the release of a number.
        (service not in ({{ record_services() }}) or not has_failed)
        and (service not in ('twilio_voice', 'twilio_phone') or unit_count > 0) as counts_by_itself
    from summed
)

select * from final
