-- Grain: tracked event. Renames only. `record_key` is the key of what the event is about, which a provider's record of it bears
-- as well: stacked by where it stands, not coalesced, so that looking a key up finds the index of either column.
select
    external_id as record_key,
    event_key,
    usage_date,
    occurred_at,
    tenant_id,
    service,
    operation,
    channel,
    direction,
    source,
    feature,
    activity,
    model,
    units as unit_count,
    input_tokens,
    cached_input_tokens,
    cache_write_tokens,
    cache_write_1h_tokens,
    output_tokens,
    resource_id,
    metadata ->> 'status' as event_status,
    metadata ->> 'amount_minor' as amount_minor,
    lower(metadata ->> 'currency') as currency,
    {{ tier_name("metadata ->> 'service_tier'") }} as tier
from {{ source('raw', 'usage_events') }}
where external_id <> ''
union all
select
    event_key,
    event_key,
    usage_date,
    occurred_at,
    tenant_id,
    service,
    operation,
    channel,
    direction,
    source,
    feature,
    activity,
    model,
    units,
    input_tokens,
    cached_input_tokens,
    cache_write_tokens,
    cache_write_1h_tokens,
    output_tokens,
    resource_id,
    metadata ->> 'status',
    metadata ->> 'amount_minor',
    lower(metadata ->> 'currency'),
    {{ tier_name("metadata ->> 'service_tier'") }}
from {{ source('raw', 'usage_events') }}
where coalesce(external_id, '') = ''
