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
        'amount_usd': ['numeric(38,18)', none], 'unconverted_currency': ['text', \"''\"], 'cache_write_tokens': ['bigint', '0']
    }) }}",
    post_hook='analyze {{ this }}'
) }}

with lines as (
    select * from {{ ref('int_usage_lines') }}
    where {{ in_window('usage_date', 'day') }}
),

price_book as (
    select
        service,
        coalesce(operation, '') as operation,
        coalesce(model, '') as model,
        coalesce(plan, '') as plan,
        component,
        unit_price_usd,
        per,
        coalesce(effective_from, '-infinity'::date) as effective_from,
        coalesce(effective_to, 'infinity'::date) as effective_to
    from {{ ref('price_book') }}
),

-- What a price depends on; many lines share it, and it is looked up once.
needed as (
    select distinct
        usage_date,
        service,
        operation,
        model,
        plan
    from lines
),

prices as (
    select
        needed.*,
        price_set.*,
        components.*
    from needed
    -- One set of prices is chosen by its name, and all components come from it.
    inner join lateral (
        select
            candidate.operation as set_operation,
            candidate.model as set_model,
            candidate.plan as set_plan
        from price_book as candidate
        where
            candidate.service = needed.service
            and candidate.effective_from <= needed.usage_date
            and candidate.effective_to > needed.usage_date
            and candidate.plan in ('', needed.plan)
            and candidate.operation in ('', needed.operation)
            and (
                candidate.model in ('', needed.model)
                or {{ is_snapshot_of('needed.model', 'candidate.model') }}
            )
        order by
            candidate.plan <> '' desc,
            candidate.model <> '' and candidate.model = needed.model desc,
            length(candidate.model) desc,
            candidate.operation <> '' desc
        limit 1
    ) as price_set on true
    -- Where two rows of a component overlap (a test fails then), the newer one holds.
    inner join lateral (
        select
        {% for name in ['unit', 'fixed', 'percentage', 'input', 'cached_input', 'cache_write', 'output'] -%}
                (
                    array_agg(component.unit_price_usd order by component.effective_from desc, component.unit_price_usd desc)
                    filter (where component.component = '{{ name }}')
                )[1
                ] as {{ name }}_price,
                (
                    array_agg(component.per order by component.effective_from desc, component.unit_price_usd desc)
                    filter (where component.component = '{{ name }}')
                )[1
                ] as {{ name }}_per{{ ',' if not loop.last }}
        {% endfor -%}
        from price_book as component
        where
            component.service = needed.service
            and component.operation = price_set.set_operation
            and component.model = price_set.set_model
            and component.plan = price_set.set_plan
            and component.effective_from <= needed.usage_date
            and component.effective_to > needed.usage_date
    ) as components on true
),

priced as (
    select
        lines.*,
        prices.set_operation,
        prices.set_model,
        prices.set_plan,
        prices.unit_price,
        prices.unit_per,
        prices.fixed_price,
        prices.fixed_per,
        prices.percentage_price,
        prices.percentage_per,
        prices.input_price,
        prices.input_per,
        prices.cached_input_price,
        prices.cached_input_per,
        prices.cache_write_price,
        prices.cache_write_per,
        prices.output_price,
        prices.output_per
    from lines
    left join prices
        on
            lines.usage_date = prices.usage_date
            and lines.service = prices.service
            and lines.operation = prices.operation
            and lines.model = prices.model
            and lines.plan = prices.plan
),

final as (
    select
        line_id,
        usage_date,
        tenant_id,
        channel,
        service,
        operation,
        direction,
        source,
        account_id,
        resource_id,
        model,
        feature,
        activity,
        evidence,
        plan,
        -- The set of prices that was chosen, by its name; null where there is none. Its rows: marts.price_sets.
        set_operation as price_operation,
        set_model as price_model,
        set_plan as price_plan,
        basis,
        unit,
        unit_count,
        request_count,
        input_tokens,
        cached_input_tokens,
        cache_write_tokens,
        output_tokens,
        amount_usd::numeric(38, 18) as amount_usd,
        unconverted_currency,
        billed_cost_usd,
        -- A price is needed only where there is something to price (a residual may be less than nothing); multiply first, divide
        -- last, cast once.
        (
            case
                when service in ({{ token_services() }}) and coalesce(unit, 'tokens') = 'tokens'
                    then
                        case
                            when input_tokens <> cached_input_tokens + cache_write_tokens
                                then (input_tokens - cached_input_tokens - cache_write_tokens) * input_price / input_per
                            else 0
                        end
                        + case
                            when cached_input_tokens <> 0 and cached_input_price is not null then cached_input_tokens * cached_input_price / cached_input_per
                            when cached_input_tokens <> 0 then cached_input_tokens * input_price / input_per
                            else 0
                        end
                        + case
                            when cache_write_tokens <> 0 and cache_write_price is not null then cache_write_tokens * cache_write_price / cache_write_per
                            when cache_write_tokens <> 0 then cache_write_tokens * input_price / input_per
                            else 0
                        end
                        + case when output_tokens <> 0 then output_tokens * output_price / output_per else 0 end
                when unit_count = 0 then 0
                -- What was charged in a currency that leads to no USD is set aside, whatever its price is made of.
                when unconverted_currency not in ('', 'unknown') and billed_cost_usd is null then null
                -- Whatever the set has of these, added up; a percentage is of the amount, in USD, and there is none without it.
                when coalesce(unit_price, fixed_price, percentage_price) is not null
                    then
                        case when unit_price is not null then unit_count * unit_price / (unit_per * {{ price_days('channel', 'usage_date') }}) else 0 end
                        + case when fixed_price is not null then unit_count * fixed_price / fixed_per else 0 end
                        + case when percentage_price is not null then amount_usd * percentage_price / percentage_per else 0 end
            end
        )::numeric(38, 18) as estimated_cost_usd
    from priced
)

select * from final
