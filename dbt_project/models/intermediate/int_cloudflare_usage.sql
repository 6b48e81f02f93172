-- Grain: day × account × bucket × operation: R2's requests by their class, and what a bucket held at its peak. Additive: counts within
-- an operation; gb_days over days and buckets.
with operations as (
    select * from {{ ref('stg_cloudflare__operations') }}
),

storage as (
    select * from {{ ref('stg_cloudflare__storage') }}
),

owners as not materialized (
    select * from {{ ref('stg_directory__resources') }}
),

usage as (
    select
        usage_date,
        account_id,
        bucket,
        {{ r2_class('action_type') }} as operation,
        'storage_ops' as channel,
        'operations' as unit,
        'raw.r2_operations' as raw_table,
        sum(request_count)::numeric(38, 18) as unit_count,
        sum(request_count)::bigint as request_count
    from operations
    -- What R2 refused for its credentials is not billed.
    where response_status not in (401, 403)
    group by usage_date, account_id, bucket, {{ r2_class('action_type') }}
    union all
    select
        usage_date,
        account_id,
        bucket,
        'storage' as operation,
        'storage' as channel,
        'gb_days' as unit,
        'raw.r2_storage' as raw_table,
        (max(payload_bytes + metadata_bytes)::numeric / 1000000000)::numeric(38, 18) as unit_count,
        0 as request_count
    from storage
    group by usage_date, account_id, bucket
),

final as (
    select
        usage.*,
        coalesce(owner.tenant_id, 'unattributed') as tenant_id,
        case when owner.tenant_id is not null then 'bucket' else 'none' end as attribution
    from usage
    {{ join_owner('owner', 'usage', 'cloudflare', 'bucket', 'usage.bucket') }}
    where usage.unit_count > 0
)

select * from final
