-- Grain: day × account × workspace × API key × operation × model × tier. Additive: tokens, searches, requests where they are known.
with reported as (
    select * from {{ ref('stg_anthropic__usage') }}
),

owners as not materialized (
    select * from {{ ref('stg_directory__resources') }}
),

usage as (
    select
        usage_date,
        account_id,
        workspace_id,
        api_key_id,
        'chat_completion' as operation,
        'tokens' as unit,
        model,
        tier,
        input_tokens,
        cached_input_tokens,
        cache_write_tokens,
        cache_write_1h_tokens,
        output_tokens,
        (input_tokens + output_tokens)::numeric(38, 18) as unit_count,
        request_count
    from reported
    union all
    select
        usage_date,
        account_id,
        workspace_id,
        api_key_id,
        'web_search_call' as operation,
        'calls' as unit,
        model,
        tier,
        0 as input_tokens,
        0 as cached_input_tokens,
        0 as cache_write_tokens,
        0 as cache_write_1h_tokens,
        0 as output_tokens,
        web_search_requests::numeric(38, 18) as unit_count,
        web_search_requests as request_count
    from reported
),

final as (
    select
        usage.*,
        coalesce(workspace.tenant_id, api_key.tenant_id, 'unattributed') as tenant_id,
        case
            when workspace.tenant_id is not null then 'workspace'
            when api_key.tenant_id is not null then 'api_key'
            else 'none'
        end as attribution
    from usage
    {{ join_owner('workspace', 'usage', 'anthropic', 'workspace', 'usage.workspace_id') }}
    {{ join_owner('api_key', 'usage', 'anthropic', 'api_key', 'usage.api_key_id') }}
    where usage.unit_count > 0
)

select * from final
