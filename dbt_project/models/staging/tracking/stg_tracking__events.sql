-- Grain: tracked event. Renames only. `record_key` is the key of what the event is about, which a provider's record of it bears as well.
{{ tracked_events(event_rows('usage_events')) }}
