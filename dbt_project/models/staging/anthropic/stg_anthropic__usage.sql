-- Grain: day × account × workspace × API key × model × tier. Renames, and the whole input beside its parts. Additive: tokens, searches,
-- requests where the report counts them.
select
    usage_date,
    account_id,
    workspace_id,
    api_key_id,
    model,
    tier,
    uncached_input_tokens + cache_read_input_tokens + ephemeral_5m_input_tokens + ephemeral_1h_input_tokens as input_tokens,
    cache_read_input_tokens as cached_input_tokens,
    ephemeral_5m_input_tokens as cache_write_tokens,
    ephemeral_1h_input_tokens as cache_write_1h_tokens,
    output_tokens,
    web_search_requests,
    requests as request_count
from {{ source('raw', 'anthropic_usage') }}
