-- Grain: day × project × line item × currency. The model is what stands before the comma of a line item.
select
    usage_date,
    account_id,
    project_id,
    line_item,
    btrim(split_part(line_item, ',', 1)) as model,
    currency,
    amount
from {{ source('raw', 'openai_costs') }}
