-- follows: 0052
-- How often a cap has blocked, counted without reading what it has allowed.

create index access_decisions_blocked on ops.access_decisions (channel) where not allowed;
