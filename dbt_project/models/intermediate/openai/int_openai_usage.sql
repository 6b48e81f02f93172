-- Grain: day × account × project × API key × operation × model × tier. Additive: tokens, requests.
with completions as (
    select * from {{ ref('stg_openai__completions') }}
),

embeddings as (
    select * from {{ ref('stg_openai__embeddings') }}
),

moderations as (
    select * from {{ ref('stg_openai__moderations') }}
),

counted as (
    select * from {{ ref('stg_openai__counted') }}
),

owners as not materialized (
    select * from {{ ref('stg_directory__resources') }}
),

usage as (
    select
        usage_date,
        account_id,
        project_id,
        api_key_id,
        'chat_completion' as operation,
        'raw.openai_usage_completions' as raw_table,
        model,
        tier,
        input_tokens,
        cached_input_tokens,
        cache_write_tokens,
        0 as cache_write_1h_tokens,
        output_tokens,
        (input_tokens + output_tokens)::numeric(38, 18) as unit_count,
        request_count
    from completions
    union all
    select
        usage_date,
        account_id,
        project_id,
        api_key_id,
        'embedding' as operation,
        'raw.openai_usage_embeddings' as raw_table,
        model,
        '' as tier,
        input_tokens,
        0 as cached_input_tokens,
        0 as cache_write_tokens,
        0 as cache_write_1h_tokens,
        0 as output_tokens,
        input_tokens as unit_count,
        request_count
    from embeddings
    union all
    select
        usage_date,
        account_id,
        project_id,
        api_key_id,
        'moderation' as operation,
        'raw.openai_usage_moderations' as raw_table,
        model,
        '' as tier,
        input_tokens,
        0 as cached_input_tokens,
        0 as cache_write_tokens,
        0 as cache_write_1h_tokens,
        0 as output_tokens,
        input_tokens as unit_count,
        request_count
    from moderations
    union all
    select
        usage_date,
        account_id,
        project_id,
        api_key_id,
        operation,
        raw_table,
        model,
        '' as tier,
        0 as input_tokens,
        0 as cached_input_tokens,
        0 as cache_write_tokens,
        0 as cache_write_1h_tokens,
        0 as output_tokens,
        quantity as unit_count,
        request_count
    from counted
),

final as (
    select
        usage.*,
        {{ openai_unit('usage.operation') }} as unit,
        coalesce(project.tenant_id, api_key.tenant_id, 'unattributed') as tenant_id,
        case
            when project.tenant_id is not null then 'project'
            when api_key.tenant_id is not null then 'api_key'
            else 'none'
        end as attribution
    from usage
    {{ join_owner('project', 'usage', 'openai', 'project', 'usage.project_id') }}
    {{ join_owner('api_key', 'usage', 'openai', 'api_key', 'usage.api_key_id') }}
    where usage.unit_count + usage.request_count > 0
)

select * from final
