-- What OpenAI's costs sum to, the mart bills, to the last digit, on every day of which all cells are known.
with costs as (
    select
        usage_date,
        sum(amount) as amount
    from {{ ref('stg_openai__costs') }}
    where {{ in_open_window('usage_date') }}
    group by usage_date
),

billed as (
    select
        date,
        sum(billed_cost_usd) as amount
    from {{ ref('usage_daily') }}
    where
        {{ in_open_window('date') }}
        and service = 'openai'
    group by date
    having count(*) = count(billed_cost_usd)
)

select
    billed.date,
    costs.amount,
    billed.amount as billed_amount
from billed
left join costs
    on billed.date = costs.usage_date
where billed.amount <> coalesce(costs.amount, 0)
