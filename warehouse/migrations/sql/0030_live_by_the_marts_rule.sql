-- follows: 0032
-- What is live is what the marts will say of it: a build makes their own rule a function (dbt_project/functions/usage_as_built.sql), which
-- the cap asks.

drop function if exists ops.is_in_channel_unit(text, text);
drop function if exists ops.is_known_tenant(text);

-- A cost may be: what is given back costs less than nothing.
alter table ops.live_usage drop constraint live_usage_is_no_less_than_nothing;
alter table ops.live_usage
add constraint live_usage_is_no_less_than_nothing
check (units >= 0 and units < 'Infinity' and requests >= 0) not valid;
