-- Grain: message. Renames only.
select
    sid as message_sid,
    account_id as account_sid,
    usage_date,
    messaging_service_sid,
    from_number_hash,
    to_number_hash,
    direction as twilio_direction,
    status,
    num_segments,
    num_media,
    price,
    price_unit,
    date_sent as sent_at
from {{ event_rows('twilio_messages') }}
