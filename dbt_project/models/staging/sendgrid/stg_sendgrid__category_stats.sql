-- Grain: day × category. Renames only.
select
    usage_date,
    account_id as category,
    requests as request_count
from {{ source('raw', 'sendgrid_category_stats') }}
