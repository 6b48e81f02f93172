-- follows: 0046
-- Of each record which day it is on, where it was the days of all, and those who are told it (warehouse/objects/live_usage.sql).
drop function if exists ops.built_records(text[]);
drop function if exists ops.settled_records(text[]);
drop function if exists ops.record_days(text[]);
