-- follows: 0025
-- Negative use does not exist, nor such that is no number ('NaN' is above everything to PostgreSQL). What was written before is not
-- checked: it must not keep anybody from migrating. New rows are, in every partition, those that are yet to be made included.
alter table raw.usage_events
add constraint usage_events_units_are_no_less_than_nothing check (units >= 0 and units < 'Infinity') not valid;
alter table ops.live_usage
add constraint live_usage_is_no_less_than_nothing
check (units >= 0 and units < 'Infinity' and requests >= 0 and (cost_cents is null or cost_cents >= 0)) not valid;
