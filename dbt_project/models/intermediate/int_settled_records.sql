-- Grain: day × service × record key: each provider's record that counts, and each tracked event's record of any service. The provider's
-- record says what was used, when and at what price; the events say for whom and which feature. Where no record has come (or
-- none ever will), the events count by themselves. Records that nobody tracked and that are alike in all that is kept of them are one
-- row: their sum, with their keys in record_keys. Additive where is_counted: unit_count within a channel, request_count, tokens,
-- billed_cost_usd where known.
-- A table: the snapshot that all that follows in a build is computed from, and by which the cap tells built usage from live.
-- So what was tracked and turned out not to count (a message that failed) is in it as well, with nothing used.
-- The planner does not know how many records have an event, and would sort all of a day's on disk to join them with the events (hence the
-- setting). In the order of their keys the rows come last, when they are few, so that both indexes grow in one place.
{{ config(
    materialized='incremental',
    incremental_strategy='replace_window',
    window='day',
    window_column='usage_date',
    on_schema_change='fail',
    full_refresh=false,
    indexes=[
        {'columns': ['usage_date', 'record_key', 'service'], 'unique': true},
        {'columns': ['record_key']}
    ],
    pre_hook=[
        "set local enable_mergejoin = off",
        "{{ new_columns({
        'amount_usd': ['numeric(38,18)', none], 'unconverted_currency': ['text', \"''\"], 'cache_write_tokens': ['bigint', '0'], 'cache_write_1h_tokens': ['bigint', '0'],
        'tier': ['text', \"''\"], 'record_keys': ['text[]', none]
    }) }}"
    ],
    post_hook=["{{ settle_on_workers() }}", "{{ analyze_window() }}"]
) }}

with tracked as materialized (
    select * from {{ ref('int_tracked_records') }}
),

-- Read twice, rather than kept once: a day's records are many.
records as not materialized (
    select * from {{ ref('int_provider_records') }}
),

record_keys as not materialized (
    select * from {{ ref('int_provider_record_keys') }}
),

number_days as (
    select * from {{ ref('int_twilio_number_days') }}
),

tenants as (
    select distinct tenant_id from {{ ref('stg_directory__tenants') }}
),

owners as (
    select * from {{ ref('stg_directory__resources') }}
),

-- Tracked in the window, and no provider has a record of it, whatever its day and status.
alone as (
    select tracked.*
    from tracked
    left join lateral (
        select true as is_found
        from record_keys
        where
            record_keys.service = tracked.service
            and record_keys.record_key = tracked.record_key
        limit 1
    ) as record on true
    where
        {{ in_window('tracked.usage_date', 'day') }}
        and record.is_found is null
        and not (tracked.service = 'twilio_phone' and tracked.record_key in (select record_key from number_days))
),

-- Tracked, and nothing was used, for good: the provider's record says so, or an event does.
nothing_used as (
    select
        record_keys.usage_date as settled_date,
        true as has_record,
        tracked.*
    from tracked
    inner join record_keys
        on
            tracked.service = record_keys.service
            and tracked.record_key = record_keys.record_key
    where
        {{ in_window('record_keys.usage_date', 'day') }}
        and record_keys.is_unused
    union all
    select
        alone.usage_date as settled_date,
        false as has_record,
        alone.*
    from alone
    where
        not alone.counts_by_itself
        -- The release of a number uses nothing, and no record of it will come.
        and (alone.has_failed or alone.service = 'twilio_phone')
),

-- What the directory says of the resource that such an event names. Many events share one, and it is looked up at the first of them.
-- Not by a join: the planner takes these events for few, and would compare each with each.
numbered as (
    select
        alone.*,
        row_number() over same_resource as place
    from alone
    window same_resource as (partition by usage_date, service, resource_id)
),

looked_up as (
    select
        numbered.*,
        owner.tenant_id as owner_id,
        owner.resource_type as owner_type
    from numbered
    left join lateral (
        {{ resource_owner('numbered', 'owners', 'numbered.place = 1') }}
    ) as owner on true
),

owned as (
    select
        looked_up.*,
        max(owner_id) over same_resource as directory_tenant_id,
        coalesce(max(owner_type) over same_resource, 'none') as attribution
    from looked_up
    window same_resource as (partition by usage_date, service, resource_id)
),

counted as (
    {{ counted_by_themselves('owned') }}
),

untracked as (
    select
        records.usage_date,
        records.service,
        array_agg(records.record_key) as record_keys,
        count(*) as record_count,
        records.tenant_id,
        records.named_tenant_id,
        records.attribution,
        records.channel,
        records.operation,
        records.direction,
        records.source,
        records.unit_count,
        records.amount_usd::numeric(38, 18) as amount_usd,
        records.unconverted_currency,
        records.billed_cost_usd::numeric(38, 18) as billed_cost_usd
    from records
    left join tracked
        on
            records.service = tracked.service
            and records.record_key = tracked.record_key
    where tracked.record_key is null
    group by
        records.usage_date,
        records.service,
        records.tenant_id,
        records.named_tenant_id,
        records.attribution,
        records.channel,
        records.operation,
        records.direction,
        records.source,
        records.unit_count,
        records.amount_usd::numeric(38, 18),
        records.unconverted_currency,
        records.billed_cost_usd::numeric(38, 18),
        -- What is in no table of records by its key is looked up here by it.
        case when records.service not in ({{ record_services() }}) then records.record_key end
),

settled as (
    select
        records.usage_date,
        records.service,
        records.record_key,
        null::text[] as record_keys,
        true as is_counted,
        true as has_record,
        tracked.event_count,
        tracked.event_tenant_id,
        tracked.has_several_tenants,
        nullif(records.tenant_id, 'unattributed') as directory_tenant_id,
        nullif(records.named_tenant_id, 'unattributed') as named_tenant_id,
        records.attribution,
        tracked.feature,
        tracked.activity,
        records.channel,
        records.operation,
        records.direction,
        records.source,
        '' as model,
        '' as tier,
        coalesce(tracked.resource_id, '') as resource_id,
        records.unit_count,
        1::bigint as request_count,
        0::bigint as input_tokens,
        0::bigint as cached_input_tokens,
        0::bigint as cache_write_tokens,
        0::bigint as cache_write_1h_tokens,
        0::bigint as output_tokens,
        tracked.unit_count as tracked_unit_count,
        records.amount_usd,
        records.unconverted_currency,
        records.billed_cost_usd
    from tracked
    inner join records
        on
            tracked.service = records.service
            and tracked.record_key = records.record_key
    union all
    select
        usage_date,
        service,
        case when record_count = 1 then record_keys[1] end as record_key,
        case when record_count > 1 then record_keys end as record_keys,
        true as is_counted,
        true as has_record,
        0 as event_count,
        null as event_tenant_id,
        false as has_several_tenants,
        nullif(tenant_id, 'unattributed') as directory_tenant_id,
        nullif(named_tenant_id, 'unattributed') as named_tenant_id,
        attribution,
        null as feature,
        null as activity,
        channel,
        operation,
        direction,
        source,
        '' as model,
        '' as tier,
        '' as resource_id,
        unit_count * record_count as unit_count,
        record_count as request_count,
        0 as input_tokens,
        0 as cached_input_tokens,
        0 as cache_write_tokens,
        0 as cache_write_1h_tokens,
        0 as output_tokens,
        null as tracked_unit_count,
        amount_usd * record_count as amount_usd,
        unconverted_currency,
        billed_cost_usd * record_count as billed_cost_usd
    from untracked
    union all
    select
        usage_date,
        service,
        record_key,
        null as record_keys,
        true as is_counted,
        false as has_record,
        event_count,
        event_tenant_id,
        has_several_tenants,
        directory_tenant_id,
        directory_tenant_id as named_tenant_id,
        attribution,
        feature,
        activity,
        channel,
        operation,
        direction,
        source,
        model,
        tier,
        resource_id,
        unit_count,
        request_count,
        input_tokens,
        cached_input_tokens,
        cache_write_tokens,
        cache_write_1h_tokens,
        output_tokens,
        tracked_unit_count,
        amount_usd,
        unconverted_currency,
        null as billed_cost_usd
    from counted
    union all
    select
        settled_date as usage_date,
        service,
        record_key,
        null as record_keys,
        false as is_counted,
        has_record,
        event_count,
        event_tenant_id,
        has_several_tenants,
        null as directory_tenant_id,
        null as named_tenant_id,
        'none' as attribution,
        feature,
        activity,
        channel,
        operation,
        direction,
        source,
        model,
        '' as tier,
        resource_id,
        0 as unit_count,
        0 as request_count,
        0 as input_tokens,
        0 as cached_input_tokens,
        0 as cache_write_tokens,
        0 as cache_write_1h_tokens,
        0 as output_tokens,
        unit_count as tracked_unit_count,
        null as amount_usd,
        '' as unconverted_currency,
        null as billed_cost_usd
    from nothing_used
),

final as (
    select
        settled.usage_date,
        settled.service,
        settled.record_key,
        -- Where one row is many records: the keys of all of them. Each has its share of every quantity.
        settled.record_keys,
        settled.is_counted,
        settled.has_record,
        settled.event_count::bigint as event_count,
        -- By the record's own event, by that of the call that it is of, by the directory.
        coalesce(tenants.tenant_id, settled.named_tenant_id, settled.directory_tenant_id, 'unattributed') as tenant_id,
        case when tenants.tenant_id is not null then 'event' else settled.attribution end as attribution,
        settled.directory_tenant_id,
        coalesce(
            settled.event_tenant_id is not null
            and (settled.event_tenant_id <> settled.directory_tenant_id or settled.has_several_tenants)
            and settled.directory_tenant_id is not null,
            false
        ) as is_misattributed,
        coalesce(settled.feature, '(untracked)') as feature,
        coalesce(settled.activity, '') as activity,
        settled.channel,
        settled.operation,
        settled.direction,
        settled.source,
        settled.model,
        -- Of AI: how the call was processed and whether it was a long one, which may have prices of their own.
        settled.tier,
        settled.resource_id,
        settled.unit_count::numeric(38, 18) as unit_count,
        settled.request_count::bigint as request_count,
        settled.input_tokens::bigint as input_tokens,
        settled.cached_input_tokens::bigint as cached_input_tokens,
        settled.cache_write_tokens::bigint as cache_write_tokens,
        settled.cache_write_1h_tokens::bigint as cache_write_1h_tokens,
        settled.output_tokens::bigint as output_tokens,
        settled.tracked_unit_count::numeric(38, 18) as tracked_unit_count,
        settled.amount_usd::numeric(38, 18) as amount_usd,
        settled.unconverted_currency,
        settled.billed_cost_usd::numeric(38, 18) as billed_cost_usd
    from settled
    left join tenants
        on settled.event_tenant_id = tenants.tenant_id
)

select * from final
order by record_key
