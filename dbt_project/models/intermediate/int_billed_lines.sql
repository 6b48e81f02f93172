-- Grain: usage line of a service whose provider tells costs apart from usage. What its costs say of it: each line item of a resource's day is
-- spread over the lines it is about, by estimated cost, so that the parts sum to the item to the last digit. Additive.
{{ config(materialized='ephemeral') }}

with lines as (
    select
        *,
        -- Nothing used takes no share, and hinders no other line's.
        coalesce(estimated_cost_usd, case when unit_count = 0 then 0 end) as weighed_cost_usd
    from {{ ref('int_usage_lines_estimated') }}
    where
        {{ in_window('usage_date', 'day') }}
        and service in ({{ itemized_services() }})
        and not {{ is_billed_elsewhere('service', 'tier') }}
),

costs as (
    select * from {{ ref('int_cost_items') }}
),

-- How well a line fits an item: the tool that the item names, or its model, a snapshot of it or the other way round (1), tokens of the
-- item's tier before those of another (2), and before what is counted otherwise (3): searches are no part of what a model's tokens cost. Only
-- the same resource: what counts tokens or has an estimated cost to take a share by (4), the rest (5).
candidates as (
    select
        costs.item_id,
        costs.usage_date,
        costs.currency,
        costs.amount,
        lines.line_id,
        lines.weighed_cost_usd as estimated_cost_usd,
        lines.unit_count,
        case when coalesce(lines.unit, 'tokens') = 'tokens' then lines.unit_count else 0 end as token_count,
        case
            when {{ is_item_of('costs.line_item', 'lines.operation') }} then 1
            when
                lines.model = costs.model
                or {{ is_snapshot_of('lines.model', 'costs.model') }}
                or {{ is_snapshot_of('costs.model', 'lines.model') }}
                then
                    case
                        when coalesce(lines.unit, 'tokens') <> 'tokens' then 3
                        when coalesce(costs.tier, lines.tier) = lines.tier then 1
                        else 2
                    end
            when coalesce(lines.unit, 'tokens') = 'tokens' or lines.weighed_cost_usd is not null then 4
            else 5
        end as fit
    from costs
    inner join lines
        on
            costs.usage_date = lines.usage_date
            and costs.service = lines.service
            and costs.account_id = lines.account_id
            and costs.resource_id = lines.resource_id
),

best as (
    select
        candidates.*,
        min(fit) over (partition by item_id) as best_fit
    from candidates
),

weighed as (
    select
        best.*,
        count(*) over item as parts,
        count(*) over item = count(estimated_cost_usd) over item and sum(estimated_cost_usd) over item > 0 as by_cost,
        sum(token_count) over item > 0 as by_tokens,
        sum(unit_count) over item > 0 as by_units
    from best
    where fit = best_fit
    window item as (partition by item_id)
),

weights as (
    select
        weighed.*,
        -- Without all their costs, tokens: a second of speech and a session are not to be added.
        case when by_cost then estimated_cost_usd when by_tokens then token_count when by_units then unit_count else 1 end as weight
    from weighed
),

running as (
    select
        weights.*,
        sum(weight) over (item order by line_id rows unbounded preceding) as weight_to_here,
        sum(weight) over (item order by line_id rows unbounded preceding) - weight as weight_before,
        sum(weight) over item as weight_of_all
    from weights
    window item as (partition by item_id)
),

-- Rounding what has been given out so far, not each part, leaves no remainder.
spread as (
    select
        usage_date,
        line_id,
        currency,
        round(amount * weight_to_here / weight_of_all, 18) - round(amount * weight_before / weight_of_all, 18) as share
    from running
),

final as (
    select
        usage_date,
        line_id,
        case when bool_and(currency = 'usd') then sum(share) end as billed_cost_usd
    from spread
    group by usage_date, line_id
)

select * from final
