-- Grain: day × project × API key × model × tier. Renames only.
select
    usage_date,
    account_id,
    project_id,
    api_key_id,
    model,
    tier,
    input_tokens,
    cached_input_tokens,
    cache_write_tokens,
    output_tokens,
    num_model_requests as request_count
from {{ source('raw', 'openai_usage_completions') }}
