-- Grain: day × account × bucket × action × status. Renames only.
select
    usage_date,
    account_id,
    bucket,
    action_type,
    action_status,
    response_status,
    requests as request_count
from {{ source('raw', 'r2_operations') }}
