-- follows: 0047
-- The key of the record that an event is about, by which its events are found in one index: there were two, and each question asked both.
-- Generated: whoever inserts, of whichever version, cannot leave it out or write another. The table is written anew meanwhile, and
-- those who bring events wait.
alter table raw.usage_events
add column record_key text generated always as (coalesce(nullif(external_id, ''), event_key)) stored;
create index usage_events_record_key on raw.usage_events (record_key);
drop index raw.usage_events_external_id;
