-- Grain: day of the parent account. Renames only.
select
    usage_date,
    account_id,
    requests as request_count
from {{ source('raw', 'sendgrid_stats') }}
