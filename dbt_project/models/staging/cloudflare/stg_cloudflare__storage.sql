-- Grain: account × bucket × measurement. Renames only.
select
    usage_date,
    account_id,
    bucket,
    measured_at,
    payload_bytes,
    metadata_bytes
from {{ source('raw', 'r2_storage') }}
