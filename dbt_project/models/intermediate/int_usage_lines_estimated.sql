-- Grain: usage line. The line's cost by the price book of that day; null where a price it needs is not known. Additive:
-- counts, estimated and billed cost where known.
-- A table, by windows like the marts: what is above it reads each line several times and joins lines with costs by day, and
-- PostgreSQL carries no range of days across a join: as views, they would read all of history for every day that is built.
-- Analyzed at once: what reads it next cannot wait for autovacuum to tell the planner how many rows these are.
{{ config(
    materialized='incremental',
    incremental_strategy='replace_window',
    window='day',
    window_column='usage_date',
    on_schema_change='fail',
    full_refresh=false,
    indexes=[
        {'columns': ['usage_date', 'line_id'], 'unique': true},
        {'columns': ['usage_date', 'account_id', 'resource_id']}
    ],
    pre_hook="{{ new_columns({
        'feature': ['text', \"'(untracked)'\"], 'activity': ['text', \"''\"], 'plan': ['text', \"''\"],
        'price_operation': ['text', none], 'price_model': ['text', none], 'price_plan': ['text', none], 'basis': ['jsonb', none],
        'amount_usd': ['numeric(38,18)', none], 'unconverted_currency': ['text', \"''\"], 'cache_write_tokens': ['bigint', '0'], 'cache_write_1h_tokens': ['bigint', '0'],
        'tier': ['text', \"''\"], 'price_tier': ['text', none]
    }) }}",
    post_hook="{{ analyze_window() }}"
) }}

with lines as (
    select * from {{ ref('int_usage_lines') }}
    where {{ in_window('usage_date', 'day') }}
),

price_book as (
    {{ price_book_rows(ref('price_book')) }}
),

priced as (
    {{ priced_lines('lines', 'price_book') }}
),

estimated as (
    select
        priced.*,
        {{ estimated_cost() }} as estimated_cost_usd
    from priced
),

-- What has a quantity and no known price, by the cells in which costs are summed first.
unpriced as (
    select distinct
        tenant_id,
        usage_date,
        channel
    from estimated
    where estimated_cost_usd is null
),

final as (
    select
        estimated.line_id,
        estimated.usage_date,
        estimated.tenant_id,
        estimated.channel,
        estimated.service,
        estimated.operation,
        estimated.direction,
        estimated.source,
        estimated.account_id,
        estimated.resource_id,
        estimated.model,
        estimated.tier,
        estimated.feature,
        estimated.activity,
        estimated.evidence,
        estimated.plan,
        -- The set of prices that was chosen, by its name; null where there is none. Its rows: marts.price_sets.
        estimated.set_operation as price_operation,
        estimated.set_model as price_model,
        estimated.set_plan as price_plan,
        estimated.set_tier as price_tier,
        -- Most providers' sums do not say how long the calls were: what is estimated as if none were long says so.
        case
            when
                estimated.evidence = 'residual'
                and estimated.has_long_price
                and {{ processing_of('estimated.tier') }} = estimated.tier
                and not {{ tells_long_calls('estimated.service') }}
                then estimated.basis || '{"long_context_unknown": true}'
            else estimated.basis
        end as basis,
        estimated.unit,
        estimated.unit_count,
        estimated.request_count,
        estimated.input_tokens,
        estimated.cached_input_tokens,
        estimated.cache_write_tokens,
        estimated.cache_write_1h_tokens,
        estimated.output_tokens,
        estimated.amount_usd::numeric(38, 18) as amount_usd,
        estimated.unconverted_currency,
        estimated.billed_cost_usd,
        -- Nothing used costs nothing, whatever its price; beside what has no price it is no known part of the cost.
        case
            when estimated.unit_count = 0 and estimated.set_operation is null and unpriced.tenant_id is not null then null
            else estimated.estimated_cost_usd
        end::numeric(38, 18) as estimated_cost_usd
    from estimated
    left join unpriced
        on
            estimated.tenant_id = unpriced.tenant_id
            and estimated.usage_date = unpriced.usage_date
            and estimated.channel = unpriced.channel
)

select * from final
