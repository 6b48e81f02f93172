-- follows: 0046
-- Says of each record which day it is on, where it said the days of all (warehouse/objects/live_usage.sql).
drop function if exists ops.record_days(text[]);
