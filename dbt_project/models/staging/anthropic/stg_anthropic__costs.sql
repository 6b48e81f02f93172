-- Grain: day × account × workspace × line item × model × tier × currency. Renames only.
select
    usage_date,
    account_id,
    workspace_id,
    line_item,
    model,
    tier,
    currency,
    amount
from {{ source('raw', 'anthropic_costs') }}
