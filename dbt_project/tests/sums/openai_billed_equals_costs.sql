-- What OpenAI's costs sum to, the marts bill, to the last digit: no item is lost in the spreading.
with costs as (
    select
        usage_date,
        sum(amount) as amount
    from {{ ref('stg_openai__costs') }}
    where {{ in_window('usage_date', 'day') }}
    group by usage_date
    having bool_and(currency = 'usd')
),

billed as (
    select
        date,
        sum(billed_cost_usd) as amount
    from {{ ref('usage_daily') }}
    where {{ in_window('date', 'day') }}
        and service = 'openai'
    group by date
)

select
    costs.usage_date,
    costs.amount,
    billed.amount as billed_amount
from costs
left join billed
    on costs.usage_date = billed.date
where costs.amount <> coalesce(billed.amount, 0)
