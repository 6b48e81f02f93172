-- Grain: tenant × date × channel × service × operation × direction × source × feature × model × evidence. Additive: everything.
-- depends_on: {{ ref('int_usage_lines_estimated') }} (whose plans the cost ledger keeps)
{{ config(
    window='day',
    records_costs=true,
    pre_hook=[
        "{{ build_together_with(['int_settled_records', 'int_usage_lines_estimated']) }}",
        "{{ new_columns({'cache_write_tokens': ['bigint', '0'], 'cache_write_1h_tokens': ['bigint', '0']}) }}"
    ],
    post_hook=["{{ protect_rows() }}", "{{ record_built_days() }}", "{{ analyze_window() }}"],
    indexes=[{'columns': ['tenant_id', 'date']}, {'columns': ['date']}]
) }}

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
        coalesce(sum(unit_count) filter (where estimated_cost_usd is null), 0)::numeric(38, 18) as unpriced_unit_count,
        {{ built_at() }} as updated_at
    from lines
    group by tenant_id, usage_date, channel, service, operation, direction, source, feature, model, evidence, unit
)

select * from final
