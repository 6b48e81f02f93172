-- Grain: label. Renames only.
select
    id as label_id,
    account_id,
    usage_date,
    shop,
    kind,
    state,
    price,
    currency,
    bought_at
from {{ source('raw', 'parcelry_labels') }}
