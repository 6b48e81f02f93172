-- Grain: day × service × tenant × operation × channel × source × feature × activity × the provider's sum (account, resource, owner,
-- model, tier) × price_tier × is_misattributed: what was tracked of services whose provider keeps sums, beside the sum that it is a part of.
-- Additive: all counts.
-- A table, by windows like the marts: what is above it reads it several times, and the match is made once.
{{ config(
    materialized='incremental',
    incremental_strategy='replace_window',
    window='day',
    window_column='usage_date',
    on_schema_change='fail',
    full_refresh=false,
    indexes=[{'columns': ['usage_date']}],
    pre_hook="{{ new_columns({'members': ['jsonb', \"'[]'\"], 'cache_write_tokens': ['bigint', '0'], 'cache_write_1h_tokens': ['bigint', '0'], 'tier': ['text', \"''\"], 'price_tier': ['text', \"''\"]}) }}",
    post_hook="{{ analyze_window() }}"
) }}

with tracked as (
    select
        usage_date,
        service,
        tenant_id,
        attribution,
        operation,
        channel,
        source,
        feature,
        activity,
        model,
        tier,
        case when {{ tells_long_calls('service') }} then tier else {{ processing_of('tier') }} end as processing,
        resource_id,
        count(*) as record_count,
        sum(unit_count) as unit_count,
        sum(request_count) as request_count,
        sum(input_tokens) as input_tokens,
        sum(cached_input_tokens) as cached_input_tokens,
        sum(cache_write_tokens) as cache_write_tokens,
        sum(cache_write_1h_tokens) as cache_write_1h_tokens,
        sum(output_tokens) as output_tokens
    from {{ ref('int_settled_records') }}
    where
        {{ in_window('usage_date', 'day') }}
        and is_counted
        and service in ({{ aggregate_services() }})
    group by usage_date, service, tenant_id, attribution, operation, channel, source, feature, activity, model, tier, resource_id
),

usage as (
    select * from {{ ref('int_aggregate_usage') }}
    where {{ in_window('usage_date', 'day') }}
),

owners as (
    select
        resources.*,
        {{ aggregate_service_of('resources.provider') }} as service
    from {{ ref('stg_directory__resources') }} as resources
    where resources.provider in ({{ aggregate_providers() }})
),

sums as (
    select
        usage_date,
        service,
        operation,
        account_id,
        resource_id,
        tenant_id as owner_id,
        model,
        tier,
        sum(unit_count) as unit_count
    from usage
    group by usage_date, service, operation, account_id, resource_id, tenant_id, model, tier
),

-- What a match depends on; many events share it, and it is looked up once.
asked as (
    select
        row_number() over () as match_id,
        wanted.*
    from (
        select distinct
            usage_date,
            service,
            tenant_id,
            operation,
            model,
            processing,
            resource_id
        from tracked
    ) as wanted
),

-- An API key stands for the project whose bucket shows it, and there for the part that is its tenant's.
keys as (
    select distinct on (asked.match_id)
        asked.match_id,
        usage.resource_id,
        usage.tenant_id as owner_id
    from asked
    inner join usage
        on
            asked.usage_date = usage.usage_date
            and asked.service = usage.service
            and asked.resource_id = usage.api_key_id
    where asked.resource_id <> ''
    order by asked.match_id asc, usage.operation = asked.operation desc, usage.unit_count desc, usage.resource_id asc
),

-- The one resource that the directory gives the tenant (the key's tenant, where only the directory knows the key) that day.
only_resources as (
    select
        asked.match_id,
        min(owners.resource_key) as resource_id
    from asked
    left join owners as api_key
        on
            asked.service = api_key.service
            and api_key.resource_type = 'api_key'
            and asked.resource_id = api_key.resource_key
            and {{ is_in_force_on('api_key', 'asked.usage_date') }}
    inner join owners
        on
            asked.service = owners.service
            and owners.resource_type <> 'api_key'
            and coalesce(api_key.tenant_id, asked.tenant_id) = owners.tenant_id
            and {{ is_in_force_on('owners', 'asked.usage_date') }}
    where asked.resource_id = '' or api_key.tenant_id is not null
    group by asked.match_id
    having count(*) = 1
),

directory_keys as (
    select distinct
        service,
        resource_key
    from owners
    where resource_type = 'api_key'
),

aimed as (
    select
        asked.*,
        -- Null: any resource of the tenant.
        case
            when keys.match_id is not null then keys.resource_id
            when only_resources.match_id is not null then only_resources.resource_id
            when directory_keys.resource_key is null then nullif(asked.resource_id, '')
        end as aimed_resource,
        keys.owner_id as aimed_owner
    from asked
    left join keys
        on asked.match_id = keys.match_id
    left join only_resources
        on asked.match_id = only_resources.match_id
    left join directory_keys
        on
            asked.service = directory_keys.service
            and asked.resource_id = directory_keys.resource_key
),

candidates as (
{% for preference, condition in [
    (1, 'aimed.aimed_resource = sums.resource_id and coalesce(aimed.aimed_owner, sums.owner_id) = sums.owner_id'),
    (2, 'aimed.aimed_resource is null and aimed.tenant_id = sums.owner_id'),
    (3, "aimed.aimed_resource is null and sums.resource_id = ''"),
] %}
        {% if not loop.first %}
            union all
        {% endif %}
        select
            aimed.match_id,
            {{ preference }} as preference,
            aimed.tenant_id = sums.owner_id as is_own,
            aimed.model = sums.model as is_exact,
            aimed.processing = sums.tier as is_own_tier,
            sums.account_id,
            sums.resource_id,
            sums.owner_id,
            sums.model,
            sums.tier,
            sums.unit_count,
            sum(sums.unit_count) over (partition by aimed.match_id, sums.account_id, sums.resource_id) as resource_units
        from aimed
        inner join sums
            on
                aimed.usage_date = sums.usage_date
                and aimed.service = sums.service
                and aimed.operation = sums.operation
                and {{ condition }}
                and (
                    aimed.model = sums.model
                    or {{ is_snapshot_of('aimed.model', 'sums.model') }}
                    or {{ is_snapshot_of('sums.model', 'aimed.model') }}
                )
                and (sums.tier in ('', aimed.processing) or aimed.processing = '')
    {% endfor %}
),

matched as (
    select distinct on (match_id) *
    from candidates
    -- The resource, then the tier that the event names, else what has none, then the model nearest to the event's, then, where keys divide
    -- a resource among tenants, the event's own tenant's part, else nobody's: only what is left is another's.
    order by
        match_id asc,
        preference asc,
        resource_units desc,
        resource_id asc,
        account_id asc,
        is_own_tier desc,
        tier = '' desc,
        is_exact desc,
        length(model) desc,
        model asc,
        is_own desc,
        owner_id = 'unattributed' desc,
        unit_count desc,
        owner_id asc,
        tier asc
),

-- For a resource that the provider says nothing of that day: the account that it said anything of.
accounts as (
    select
        usage_date,
        service,
        min(account_id) as account_id
    from sums
    group by usage_date, service
),

-- Without a sum that it could be part of, what was tracked is a sum of its own, of which the provider says nothing.
placed as (
    select
        aimed.*,
        coalesce(matched.account_id, accounts.account_id, '') as account_id,
        coalesce(matched.resource_id, aimed.aimed_resource, '') as settled_resource_id,
        coalesce(
            matched.owner_id, aimed.aimed_owner, owners.tenant_id, case when aimed.aimed_resource is null then aimed.tenant_id end, 'unattributed'
        ) as owner_id,
        coalesce(matched.model, aimed.model) as settled_model,
        coalesce(matched.tier, aimed.processing) as settled_tier
    from aimed
    left join matched
        on aimed.match_id = matched.match_id
    left join accounts
        on
            aimed.usage_date = accounts.usage_date
            and aimed.service = accounts.service
    left join owners
        on
            aimed.service = owners.service
            and owners.resource_type <> 'api_key'
            and aimed.aimed_resource = owners.resource_key
            and {{ is_in_force_on('owners', 'aimed.usage_date') }}
),

attributed as (
    select
        tracked.*,
        placed.account_id,
        placed.settled_resource_id,
        placed.owner_id,
        placed.settled_model,
        placed.settled_tier,
        -- Who names no tenant is of the resource's.
        case when tracked.attribution = 'event' then tracked.tenant_id else placed.owner_id end as settled_tenant_id
    from tracked
    inner join placed
        on
            tracked.usage_date = placed.usage_date
            and tracked.service = placed.service
            and tracked.tenant_id = placed.tenant_id
            and tracked.operation = placed.operation
            and tracked.model = placed.model
            and tracked.processing = placed.processing
            and tracked.resource_id = placed.resource_id
),

final as (
    select
        usage_date,
        service,
        settled_tenant_id as tenant_id,
        operation,
        channel,
        source,
        feature,
        activity,
        account_id,
        settled_resource_id as resource_id,
        owner_id,
        settled_model as model,
        settled_tier as tier,
        -- What the event says of itself; where it says nothing, the provider's word of the sum.
        case
            when processing <> '' then attributed.tier
            else concat_ws('_', nullif(settled_tier, ''), nullif(attributed.tier, ''))
        end as price_tier,
        resource_id <> '' and owner_id not in (settled_tenant_id, 'unattributed') as is_misattributed,
        -- Which of the day's events these are, by what the match depends on: see marts.usage_line_records.
        jsonb_agg(
            distinct jsonb_build_object('tenant', tenant_id, 'attribution', attribution, 'model', model, 'resource', resource_id)
            || case when attributed.tier = '' then '{}' else jsonb_build_object('tier', attributed.tier) end
        ) as members,
        sum(record_count)::bigint as record_count,
        sum(unit_count)::numeric(38, 18) as unit_count,
        sum(request_count)::bigint as request_count,
        sum(input_tokens)::bigint as input_tokens,
        sum(cached_input_tokens)::bigint as cached_input_tokens,
        sum(cache_write_tokens)::bigint as cache_write_tokens,
        sum(cache_write_1h_tokens)::bigint as cache_write_1h_tokens,
        sum(output_tokens)::bigint as output_tokens
    from attributed
    group by
        usage_date,
        service,
        settled_tenant_id,
        operation,
        channel,
        source,
        feature,
        activity,
        account_id,
        settled_resource_id,
        owner_id,
        settled_model,
        settled_tier,
        case
            when processing <> '' then attributed.tier
            else concat_ws('_', nullif(settled_tier, ''), nullif(attributed.tier, ''))
        end,
        resource_id <> '' and owner_id not in (settled_tenant_id, 'unattributed')
)

select * from final
