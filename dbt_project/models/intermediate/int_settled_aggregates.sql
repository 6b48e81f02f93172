-- Grain: day × service × account × resource × owner × operation × model × tier: the provider's sum beside the sum of what was tracked, and
-- what the two make of each other. Additive: all counts.
{{ config(materialized='ephemeral') }}

with usage as (
    select * from {{ ref('int_aggregate_usage') }}
    where {{ in_window('usage_date', 'day') }}
),

tracked as (
    select * from {{ ref('int_tracked_aggregates') }}
    where {{ in_window('usage_date', 'day') }}
),

reads as not materialized (
    select * from {{ ref('stg_ops__source_reads') }}
),

stacked as (
    select
        usage_date,
        service,
        account_id,
        resource_id,
        tenant_id as owner_id,
        operation,
        model,
        tier,
        true as is_provider,
        unit_count,
        request_count,
        input_tokens,
        cached_input_tokens,
        cache_write_tokens,
        cache_write_1h_tokens,
        output_tokens,
        {{ provider_row() }} as provider_row
    from usage
    union all
    select
        usage_date,
        service,
        account_id,
        resource_id,
        owner_id,
        operation,
        model,
        tier,
        false as is_provider,
        unit_count,
        request_count,
        input_tokens,
        cached_input_tokens,
        cache_write_tokens,
        cache_write_1h_tokens,
        output_tokens,
        null as provider_row
    from tracked
),

summed as (
    select
        usage_date,
        service,
        account_id,
        resource_id,
        owner_id,
        operation,
        model,
        tier,
        {% for side, condition in [('provider', 'is_provider'), ('tracked', 'not is_provider')] %}
            coalesce(sum(unit_count) filter (where {{ condition }}), 0)::numeric(38, 18) as {{ side }}_unit_count,
            {% for measure in ['input_tokens', 'cached_input_tokens', 'cache_write_tokens', 'cache_write_1h_tokens', 'output_tokens'] -%}
                coalesce(sum({{ measure }}) filter (where {{ condition }}), 0)::bigint as {{ side }}_{{ measure }},
            {% endfor %}
        {% endfor %}
        coalesce(sum(request_count) filter (where not is_provider), 0)::bigint as tracked_request_count,
        -- Of requests that the provider does not count, those that were tracked are all that is known.
        case
            when bool_or(is_provider and request_count is null) then coalesce(sum(request_count) filter (where not is_provider), 0)
            else coalesce(sum(request_count) filter (where is_provider), 0)
        end::bigint as provider_request_count,
        jsonb_agg(provider_row order by provider_row) filter (where is_provider) as provider_rows,
        {{ is_open('usage_date') }} as is_open,
        bool_or(is_provider) as has_provider,
        bool_or(not is_provider) as has_tracked
    from stacked
    group by usage_date, service, account_id, resource_id, owner_id, operation, model, tier
),

answered as (
    select
        summed.*,
        -- An answer may be that there was nothing: the read is recorded, whether or not it brought a row.
        has_provider or (
            has_tracked
            and exists (
                select 1
                from reads
                where
                    reads.usage_date = summed.usage_date
                    and reads.table_name = {{ sum_table('summed.service', 'summed.operation', 'summed.resource_id') }}
                    and (summed.service <> 'sendgrid' or summed.resource_id in ('', reads.account_id, 'category:' || reads.account_id))
            )
        ) as is_answered
    from summed
),

compared as (
    select
        answered.*,
        not is_open and is_answered as is_closed,
        case
            when is_open or not is_answered then greatest(provider_unit_count - tracked_unit_count, 0)
            else provider_unit_count - tracked_unit_count
        end::numeric(38, 18) as residual_unit_count,
    {% for measure in ['request_count', 'input_tokens', 'cached_input_tokens', 'cache_write_tokens', 'cache_write_1h_tokens', 'output_tokens'] -%}
        case
            -- While the day is open the provider may only be late; then only what it has beyond us is somebody's.
            when is_open or not is_answered then greatest(provider_{{ measure }} - tracked_{{ measure }}, 0)
            else provider_{{ measure }} - tracked_{{ measure }}
        end::bigint as residual_{{ measure }}{{ ',' if not loop.last }}
    {% endfor %}
    from answered
),

final as (
    select
        compared.*,
        is_closed or (provider_unit_count > 0 and provider_unit_count >= tracked_unit_count) as is_confirmed,
        residual_unit_count <> 0
        or residual_request_count <> 0
        or residual_input_tokens <> 0
        or residual_cached_input_tokens <> 0
        or residual_cache_write_tokens <> 0
        or residual_cache_write_1h_tokens <> 0
        or residual_output_tokens <> 0 as has_residual
    from compared
)

select * from final
