-- Grain: day × service × account × resource × API key × operation × model × tier: the providers' own sums, as they say them, with the
-- tenant of the resource. Additive: all counts; units within a service.
with openai as (
    select * from {{ ref('int_openai_usage') }}
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
        output_tokens,
        attribution,
        raw_table,
        concat_ws('/', usage_date, account_id, project_id, api_key_id, model, nullif(tier, '')) as raw_key
    from openai
    union all
    select
        usage_date,
        'sendgrid',
        'email',
        '',
        resource_id,
        '',
        tenant_id,
        'send',
        '',
        '',
        'emails',
        request_count::numeric(38, 18),
        request_count,
        0,
        0,
        0,
        0,
        attribution,
        raw_table,
        concat_ws('/', usage_date, coalesce(nullif(resource_id, ''), 'parent'))
    from sendgrid
    union all
    select
        usage_date,
        'cloudflare_r2',
        channel,
        account_id,
        bucket,
        '',
        tenant_id,
        operation,
        '',
        '',
        unit,
        unit_count,
        request_count,
        0,
        0,
        0,
        0,
        attribution,
        raw_table,
        concat_ws('/', usage_date, account_id, bucket, operation)
    from cloudflare
)

select * from final
