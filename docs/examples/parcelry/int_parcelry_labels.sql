-- Grain: label that counts. Additive: unit_count, and billed_cost_usd where known.
with labels as (
    select * from {{ ref('stg_parcelry__labels') }}
),

owners as not materialized (
    select * from {{ ref('stg_directory__resources') }}
),

final as (
    select
        labels.label_id,
        labels.usage_date,
        coalesce(shop.tenant_id, 'unattributed') as tenant_id,
        case when shop.tenant_id is not null then 'shop' else 'none' end as attribution,
        labels.kind as operation,
        1 as unit_count,
        (case when labels.currency = 'USD' then labels.price end)::numeric(38, 18) as billed_cost_usd
    from labels
    {{ join_owner('shop', 'labels', 'parcelry', 'shop', 'labels.shop') }}
    where labels.state <> 'voided'
)

select * from final
