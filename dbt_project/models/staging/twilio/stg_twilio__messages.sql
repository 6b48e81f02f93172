-- Grain: message. Renames only.
{{ messages_of(event_rows('twilio_messages')) }}
