-- Grain: day × service × account × resource × API key × operation × model × tier: the providers' own sums, as they say them, with the
-- tenant of the resource. Additive: all counts; units within a service. request_count is null where the provider does not count requests.
with openai as (
    select * from {{ ref('int_openai_usage') }}
),

anthropic as (
    select * from {{ ref('int_anthropic_usage') }}
),

sendgrid as (
    select * from {{ ref('int_sendgrid_usage') }}
),

cloudflare as (
    select * from {{ ref('int_cloudflare_usage') }}
),

final as (
    select
        usage_date,
        'openai' as service,
        'ai' as channel,
        account_id,
        project_id as resource_id,
        api_key_id,
        tenant_id,
        operation,
        model,
        tier,
        unit,
        unit_count,
        request_count,
        input_tokens,
        cached_input_tokens,
        cache_write_tokens,
        cache_write_1h_tokens,
        output_tokens,
        attribution,
        raw_table,
        concat_ws('/', usage_date, account_id, project_id, api_key_id, model, nullif(tier, '')) as raw_key
    from openai
    union all
    select
        usage_date,
        'anthropic' as service,
        'ai' as channel,
        account_id,
        workspace_id as resource_id,
        api_key_id,
        tenant_id,
        operation,
        model,
        tier,
        unit,
        unit_count,
        request_count,
        input_tokens,
        cached_input_tokens,
        cache_write_tokens,
        cache_write_1h_tokens,
        output_tokens,
        attribution,
        'raw.anthropic_usage' as raw_table,
        concat_ws('/', usage_date, account_id, workspace_id, api_key_id, model, nullif(tier, '')) as raw_key
    from anthropic
    union all
    select
        usage_date,
        'sendgrid' as service,
        'email' as channel,
        '' as account_id,
        resource_id,
        '' as api_key_id,
        tenant_id,
        'send' as operation,
        '' as model,
        '' as tier,
        'emails' as unit,
        request_count::numeric(38, 18) as unit_count,
        request_count,
        0 as input_tokens,
        0 as cached_input_tokens,
        0 as cache_write_tokens,
        0 as cache_write_1h_tokens,
        0 as output_tokens,
        attribution,
        raw_table,
        concat_ws('/', usage_date, coalesce(nullif(resource_id, ''), 'parent')) as raw_key
    from sendgrid
    union all
    select
        usage_date,
        'cloudflare_r2' as service,
        channel,
        account_id,
        bucket as resource_id,
        '' as api_key_id,
        tenant_id,
        operation,
        '' as model,
        '' as tier,
        unit,
        unit_count,
        request_count,
        0 as input_tokens,
        0 as cached_input_tokens,
        0 as cache_write_tokens,
        0 as cache_write_1h_tokens,
        0 as output_tokens,
        attribution,
        raw_table,
        concat_ws('/', usage_date, account_id, bucket, operation) as raw_key
    from cloudflare
)

select * from final
