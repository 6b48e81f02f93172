-- Grain: usage line. The line's cost by the price book of that day; null where a price it needs is not known.
with lines as (
    select * from {{ ref('int_usage_lines') }}
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

priced as (
    select
        lines.*,
        prices.*
    from lines
    -- One set of prices is chosen, and all components come from it.
    left join lateral (
        select
            candidate.operation as set_operation,
            candidate.model as set_model,
            candidate.plan as set_plan
        from price_book as candidate
        where candidate.service = lines.service
            and candidate.effective_from <= lines.usage_date
            and candidate.effective_to > lines.usage_date
            and candidate.plan in ('', lines.plan)
            and candidate.operation in ('', lines.operation)
            and (
                candidate.model in ('', lines.model)
                or {{ is_snapshot_of('lines.model', 'candidate.model') }}
            )
        order by
            candidate.plan <> '' desc,
            candidate.model <> '' and candidate.model = lines.model desc,
            length(candidate.model) desc,
            candidate.operation <> '' desc
        limit 1
    ) as price_set on true
    left join lateral (
        select
            max(component.unit_price_usd) filter (where component.component = 'unit') as unit_price,
            max(component.per) filter (where component.component = 'unit') as unit_per,
            max(component.unit_price_usd) filter (where component.component = 'input') as input_price,
            max(component.per) filter (where component.component = 'input') as input_per,
            max(component.unit_price_usd) filter (where component.component = 'cached_input') as cached_price,
            max(component.per) filter (where component.component = 'cached_input') as cached_per,
            max(component.unit_price_usd) filter (where component.component = 'output') as output_price,
            max(component.per) filter (where component.component = 'output') as output_per
        from price_book as component
        where component.service = lines.service
            and component.operation = price_set.set_operation
            and component.model = price_set.set_model
            and component.plan = price_set.set_plan
            and component.effective_from <= lines.usage_date
            and component.effective_to > lines.usage_date
    ) as prices on true
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
        evidence,
        unit,
        unit_count,
        request_count,
        input_tokens,
        cached_input_tokens,
        output_tokens,
        billed_cost_usd,
        -- A price is needed only where there is something to price; multiply first, divide last, cast once.
        (
            case
                when service = 'openai' then
                    case when input_tokens > cached_input_tokens then (input_tokens - cached_input_tokens) * input_price / input_per else 0 end
                    + case
                        when cached_input_tokens > 0 and cached_price is not null then cached_input_tokens * cached_price / cached_per
                        when cached_input_tokens > 0 then cached_input_tokens * input_price / input_per
                        else 0
                    end
                    + case when output_tokens > 0 then output_tokens * output_price / output_per else 0 end
                when unit_count > 0 then unit_count * unit_price / unit_per
                else 0
            end
        )::numeric(38, 18) as estimated_cost_usd
    from priced
)

select * from final
