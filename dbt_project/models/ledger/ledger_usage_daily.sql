-- Grain: as marts.usage_daily. What usage_daily's days of this build come to, those of closed months included, before they replace what stands
-- there. Additive: everything.
{{ config(window='all') }}

with lines as (
    select * from {{ ref('int_usage_lines_costed') }}
    where {{ in_window('usage_date', 'day') }}
),

final as (
    select
        tenant_id::text as tenant_id,
        usage_date::date as date,
        channel::text as channel,
        service::text as service,
        operation::text as operation,
        direction::text as direction,
        source::text as source,
        feature::text as feature,
        model::text as model,
        evidence::text as evidence,
        unit::text as unit,
        sum(unit_count)::numeric(38, 18) as unit_count,
        sum(request_count)::bigint as request_count,
        sum(input_tokens)::bigint as input_tokens,
        sum(cached_input_tokens)::bigint as cached_input_tokens,
        sum(cache_write_tokens)::bigint as cache_write_tokens,
        sum(cache_write_1h_tokens)::bigint as cache_write_1h_tokens,
        sum(output_tokens)::bigint as output_tokens,
        sum(estimated_cost_usd)::numeric(38, 18) as estimated_cost_usd,
        case when count(*) = count(billed_cost_usd) then sum(billed_cost_usd) end::numeric(38, 18) as billed_cost_usd,
        coalesce(sum(unit_count) filter (where estimated_cost_usd is null), 0)::numeric(38, 18) as unpriced_unit_count
    from lines
    group by tenant_id, usage_date, channel, service, operation, direction, source, feature, model, evidence, unit
)

select * from final
