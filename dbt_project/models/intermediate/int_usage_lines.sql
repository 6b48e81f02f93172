-- Grain: usage line = what is priced as one: records summed by tenant, day, kind, feature and evidence; of aggregates, what was
-- tracked by the same, and what the provider has beyond it (all of it, as it comes, where nothing was tracked); with the
-- tenant's plan of that day. Additive: all counts; billed_cost_usd where known.
{{ config(materialized='ephemeral') }}

with records as (
    select * from {{ ref('int_settled_records') }}
    where
        {{ in_window('usage_date', 'day') }}
        and is_counted
        and service not in ({{ aggregate_services() }})
),

usage as (
    select * from {{ ref('int_aggregate_usage') }}
    where {{ in_window('usage_date', 'day') }}
),

tracked as (
    select * from {{ ref('int_tracked_aggregates') }}
    where {{ in_window('usage_date', 'day') }}
),

settled as (
    select * from {{ ref('int_settled_aggregates') }}
    where
        {{ in_window('usage_date', 'day') }}
        and has_tracked
),

tenants as (
    select * from {{ ref('stg_directory__tenants') }}
),

lines as (
    select
        false as is_as_it_comes,
        usage_date,
        tenant_id,
        channel,
        service,
        operation,
        direction,
        source,
        '' as account_id,
        '' as resource_id,
        '' as api_key_id,
        model,
        tier,
        feature,
        activity,
        case when has_record then 'provider' else 'tracked' end as evidence,
        {{ unit_of_operation('service', 'operation', 'channel') }} as unit,
        sum(unit_count)::numeric(38, 18) as unit_count,
        sum(request_count)::bigint as request_count,
        sum(input_tokens)::bigint as input_tokens,
        sum(cached_input_tokens)::bigint as cached_input_tokens,
        sum(cache_write_tokens)::bigint as cache_write_tokens,
        sum(cache_write_1h_tokens)::bigint as cache_write_1h_tokens,
        sum(output_tokens)::bigint as output_tokens,
        -- Amounts that could not be said in USD are lines of their own, so that no sum of known ones lacks a part.
        coalesce(unconverted_currency, '') as unconverted_currency,
        sum(amount_usd) as amount_usd,
        case when count(*) = count(billed_cost_usd) then sum(billed_cost_usd) end as billed_cost_usd,
        null::jsonb as basis
    from records
    group by
        usage_date,
        tenant_id,
        channel,
        service,
        operation,
        direction,
        source,
        model,
        tier,
        feature,
        activity,
        has_record,
        coalesce(unconverted_currency, '')
    union all
    select
        false as is_as_it_comes,
        tracked.usage_date,
        tracked.tenant_id,
        tracked.channel,
        tracked.service,
        tracked.operation,
        {{ sum_direction('tracked.channel') }} as direction,
        tracked.source,
        tracked.account_id,
        tracked.resource_id,
        '' as api_key_id,
        tracked.model,
        tracked.price_tier as tier,
        tracked.feature,
        tracked.activity,
        case when settled.is_confirmed then 'provider' else 'tracked' end as evidence,
        {{ unit_of_operation('tracked.service', 'tracked.operation', 'tracked.channel') }} as unit,
        sum(tracked.unit_count)::numeric(38, 18) as unit_count,
        sum(tracked.request_count)::bigint as request_count,
        sum(tracked.input_tokens)::bigint as input_tokens,
        sum(tracked.cached_input_tokens)::bigint as cached_input_tokens,
        sum(tracked.cache_write_tokens)::bigint as cache_write_tokens,
        sum(tracked.cache_write_1h_tokens)::bigint as cache_write_1h_tokens,
        sum(tracked.output_tokens)::bigint as output_tokens,
        '' as unconverted_currency,
        null as amount_usd,
        null as billed_cost_usd,
        jsonb_build_object('members', jsonb_agg(tracked.members)) as basis
    from tracked
    inner join settled
        on {{ same_sum('tracked', 'settled', 'tracked.owner_id') }}
    group by
        tracked.usage_date,
        tracked.tenant_id,
        tracked.channel,
        tracked.service,
        tracked.operation,
        tracked.source,
        tracked.account_id,
        tracked.resource_id,
        tracked.model,
        tracked.price_tier,
        tracked.feature,
        tracked.activity,
        settled.is_confirmed
    union all
    select
        false as is_as_it_comes,
        usage_date,
        owner_id as tenant_id,
        {{ sum_channel('service', 'operation') }} as channel,
        service,
        operation,
        {{ sum_direction(sum_channel('service', 'operation')) }} as direction,
        service as source,
        account_id,
        resource_id,
        '' as api_key_id,
        model,
        tier,
        '(untracked)' as feature,
        '' as activity,
        'residual' as evidence,
        {{ unit_of_operation('service', 'operation', sum_channel('service', 'operation')) }} as unit,
        case
            when {{ counts_tokens() }} then residual_input_tokens + residual_output_tokens
            when service = 'sendgrid' then residual_request_count
            else residual_unit_count
        end::numeric(38, 18) as unit_count,
        residual_request_count as request_count,
        residual_input_tokens as input_tokens,
        residual_cached_input_tokens as cached_input_tokens,
        residual_cache_write_tokens as cache_write_tokens,
        residual_cache_write_1h_tokens as cache_write_1h_tokens,
        residual_output_tokens as output_tokens,
        '' as unconverted_currency,
        null as amount_usd,
        null as billed_cost_usd,
        jsonb_build_object(
            'is_exact', is_closed,
            'provider', {{ sum_of_side('provider') }},
            'tracked', {{ sum_of_side('tracked') }},
            'rows', coalesce(provider_rows, '[]')
        ) as basis
    from settled
    where has_residual
    union all
    select
        true as is_as_it_comes,
        usage.usage_date,
        usage.tenant_id,
        usage.channel,
        usage.service,
        usage.operation,
        {{ sum_direction('usage.channel') }} as direction,
        usage.service as source,
        usage.account_id,
        usage.resource_id,
        usage.api_key_id,
        usage.model,
        usage.tier,
        '(untracked)' as feature,
        '' as activity,
        'residual' as evidence,
        usage.unit,
        sum(usage.unit_count)::numeric(38, 18) as unit_count,
        coalesce(sum(usage.request_count), 0)::bigint as request_count,
        sum(usage.input_tokens)::bigint as input_tokens,
        sum(usage.cached_input_tokens)::bigint as cached_input_tokens,
        sum(usage.cache_write_tokens)::bigint as cache_write_tokens,
        sum(usage.cache_write_1h_tokens)::bigint as cache_write_1h_tokens,
        sum(usage.output_tokens)::bigint as output_tokens,
        '' as unconverted_currency,
        null as amount_usd,
        null as billed_cost_usd,
        jsonb_build_object('rows', jsonb_agg({{ provider_row('usage') }})) as basis
    from usage
    where
        not exists (
            select 1
            from settled
            where {{ same_sum('usage', 'settled', 'usage.tenant_id') }}
        )
    group by
        usage.usage_date,
        usage.tenant_id,
        usage.channel,
        usage.service,
        usage.operation,
        usage.account_id,
        usage.resource_id,
        usage.api_key_id,
        usage.model,
        usage.tier,
        usage.unit
),

final as (
    select
        case
            when lines.is_as_it_comes
                then concat_ws(
                    ':',
                    lines.usage_date,
                    lines.tenant_id,
                    lines.service,
                    lines.operation,
                    lines.account_id,
                    lines.resource_id,
                    lines.api_key_id,
                    lines.model,
                    case when lines.tier <> '' then 'tier=' || lines.tier end
                )
            -- What callers name may hold anything, colons too.
            else (jsonb_build_array(
                lines.usage_date,
                lines.tenant_id,
                lines.channel,
                lines.service,
                lines.operation,
                lines.direction,
                lines.source,
                lines.account_id,
                lines.resource_id,
                lines.model,
                lines.feature,
                lines.activity,
                lines.evidence
            )
            || case when lines.unconverted_currency = '' then '[]' else jsonb_build_array(lines.unconverted_currency) end
            || case when lines.tier <> '' then jsonb_build_array(jsonb_build_object('tier', lines.tier)) else '[]' end)::text
        end as line_id,
        lines.*,
        coalesce(tenants.plan, '') as plan
    from lines
    left join tenants
        on
            lines.tenant_id = tenants.tenant_id
            and {{ is_in_force_on('tenants', 'lines.usage_date') }}
)

select * from final
