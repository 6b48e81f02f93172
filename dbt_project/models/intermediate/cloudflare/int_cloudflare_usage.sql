-- Grain: day × account × bucket × operation: R2's requests by their class, and what a bucket held at its peak. Additive: counts within
-- an operation; gb_days over days and buckets.
with operations as (
    select * from {{ ref('stg_cloudflare__operations') }}
),

storage as (
    select * from {{ ref('stg_cloudflare__storage') }}
),

-- developers.cloudflare.com/r2/pricing
actions as (
    select * from {{ ref('r2_actions') }}
),

owners as not materialized (
    select * from {{ ref('stg_directory__resources') }}
),

-- An action that is not in R2's price list is of no class, and has no price.
classified as (
    select
        operations.*,
        coalesce(actions.class, 'unclassified') as class
    from operations
    left join actions
        on operations.action_type = actions.action
    -- What R2 refused for its credentials is not billed.
    where operations.response_status not in (401, 403)
),

usage as (
    select
        usage_date,
        account_id,
        bucket,
        class as operation,
        'storage_ops' as channel,
        'operations' as unit,
        'raw.r2_operations' as raw_table,
        sum(request_count)::numeric(38, 18) as unit_count,
        sum(request_count)::bigint as request_count
    from classified
    group by usage_date, account_id, bucket, class
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
