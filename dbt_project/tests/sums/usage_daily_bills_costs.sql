-- What a provider's costs sum to, the mart bills, to the last digit, on every day of which all cells are known.
with costs as (
    select
        usage_date,
        service,
        sum(amount) as amount
    from {{ ref('int_cost_items') }}
    where {{ in_open_window('usage_date') }}
    group by usage_date, service
),

billed as (
    select
        date,
        service,
        sum(billed_cost_usd) as amount
    from {{ ref('usage_daily') }}
    where
        {{ in_open_window('date') }}
        and service in ({{ itemized_services() }})
    group by date, service
    having count(*) = count(billed_cost_usd)
)

select
    billed.date,
    billed.service,
    costs.amount,
    billed.amount as billed_amount
from billed
left join costs
    on
        billed.date = costs.usage_date
        and billed.service = costs.service
where billed.amount <> coalesce(costs.amount, 0)
