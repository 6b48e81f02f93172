-- Grain: call leg. Renames only.
select
    sid as call_sid,
    parent_call_sid,
    account_id as account_sid,
    usage_date,
    from_number_hash,
    to_number_hash,
    direction as twilio_direction,
    status,
    duration_seconds,
    price,
    price_unit,
    start_time as started_at
from {{ event_rows('twilio_calls') }}
