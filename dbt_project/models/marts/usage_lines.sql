-- Grain: date × usage line: what is priced as one, with what explains it. Additive: everything. usage_daily is its sum over activity, account
-- and resource.
-- depends_on: {{ ref('price_book') }}, {{ ref('int_usage_lines_estimated') }}
{{ config(
    window='day',
    pre_hook=[
        "{{ build_together_with(['int_settled_records', 'int_usage_lines_estimated']) }}",
        "{{ new_columns({'amount_usd': ['numeric(38,18)', none], 'unconverted_currency': ['text', \"''\"], 'cache_write_tokens': ['bigint', '0'], 'cache_write_1h_tokens': ['bigint', '0'], 'tier': ['text', \"''\"], 'price_tier': ['text', none]}) }}",
        "{{ new_key_column('tier', ['date', 'service', 'operation', 'model', 'plan', 'tier'], 'price_sets') }}"
    ],
    post_hook=["{{ protect_rows() }}", "{{ analyze_window() }}", "{{ replace_price_sets() }}"],
    indexes=[{'columns': ['tenant_id', 'date']}, {'columns': ['date']}]
) }}

with lines as (
    select * from {{ ref('int_usage_lines_costed') }}
    where {{ in_window('usage_date', 'day') }}
),

final as (
    select
        usage_date::date as date,
        -- Short, and fit for a URL; what it is a digest of stands in the columns.
        md5(line_id)::text as line_id,
        tenant_id::text as tenant_id,
        channel::text as channel,
        service::text as service,
        operation::text as operation,
        direction::text as direction,
        source::text as source,
        account_id::text as account_id,
        resource_id::text as resource_id,
        model::text as model,
        tier::text as tier,
        feature::text as feature,
        activity::text as activity,
        evidence::text as evidence,
        plan::text as plan,
        price_operation::text as price_operation,
        price_model::text as price_model,
        price_plan::text as price_plan,
        price_tier::text as price_tier,
        unit::text as unit,
        unit_count::numeric(38, 18) as unit_count,
        request_count::bigint as request_count,
        input_tokens::bigint as input_tokens,
        cached_input_tokens::bigint as cached_input_tokens,
        cache_write_tokens::bigint as cache_write_tokens,
        cache_write_1h_tokens::bigint as cache_write_1h_tokens,
        output_tokens::bigint as output_tokens,
        amount_usd::numeric(38, 18) as amount_usd,
        unconverted_currency::text as unconverted_currency,
        estimated_cost_usd::numeric(38, 18) as estimated_cost_usd,
        billed_cost_usd::numeric(38, 18) as billed_cost_usd,
        basis::jsonb as basis,
        {{ built_at() }} as updated_at
    from lines
)

select * from final
