-- Grain: day × account × category: what Twilio says that the account used in all. Categories nest: not additive. Renames only.
select
    usage_date,
    account_id as account_sid,
    category,
    event_count,
    usage_amount,
    usage_unit,
    price,
    price_unit,
    as_of as counted_at
from {{ source('raw', 'twilio_usage_records') }}
