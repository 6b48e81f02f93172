-- What a provider's costs sum to, the usage lines bill, to the last digit: no item is lost in the spreading. (In a mart a cell
-- stays null until all its lines are known.)
with costs as (
    select
        usage_date,
        service,
        sum(amount) as amount
    from {{ ref('int_cost_items') }}
    group by usage_date, service
    having bool_and(currency = 'usd')
),

billed as (
    select
        usage_date,
        service,
        sum(billed_cost_usd) as amount
    from {{ ref('int_usage_lines_costed') }}
    where
        {{ in_window('usage_date', 'day') }}
        and service in ({{ itemized_services() }})
    group by usage_date, service
)

select
    costs.usage_date,
    costs.service,
    costs.amount,
    billed.amount as billed_amount
from costs
left join billed
    on
        costs.usage_date = billed.usage_date
        and costs.service = billed.service
where costs.amount <> coalesce(billed.amount, 0)
