-- Grain: day × subuser. Renames only.
select
    usage_date,
    account_id as subuser,
    requests as request_count
from {{ source('raw', 'sendgrid_subuser_stats') }}
