-- Grain: recording. Renames only.
select
    sid as recording_sid,
    call_sid,
    account_id as account_sid,
    usage_date,
    status,
    duration_seconds,
    price,
    price_unit,
    date_created as created_at
from {{ event_rows('twilio_recordings') }}
