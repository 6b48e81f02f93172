-- Grain: UTC day that was built: what its figures were computed with. Renames only.
select
    usage_date,
    completed_at,
    price_version,
    code_version,
    plans
from {{ source('ops', 'built_days') }}
