-- follows: 0055
-- Records of a day that is read again are written where they stand. A row that finds room in its own page costs no entry in any index, and
-- the page makes that room again by itself; of the default's 20 % of a long history that may lie dead, a year's days would be read in vain.
-- Holds for pages that are written from now on: no table is rewritten, nobody waits.
alter table raw.twilio_messages set (
    fillfactor = 90,
    autovacuum_vacuum_scale_factor = 0.02,
    autovacuum_vacuum_threshold = 5000,
    autovacuum_vacuum_insert_scale_factor = 0.05
);
alter table raw.twilio_calls set (
    fillfactor = 90,
    autovacuum_vacuum_scale_factor = 0.02,
    autovacuum_vacuum_threshold = 5000,
    autovacuum_vacuum_insert_scale_factor = 0.05
);
alter table raw.twilio_recordings set (
    fillfactor = 90,
    autovacuum_vacuum_scale_factor = 0.02,
    autovacuum_vacuum_threshold = 5000,
    autovacuum_vacuum_insert_scale_factor = 0.05
);
alter table raw.stripe_balance_transactions set (
    fillfactor = 90,
    autovacuum_vacuum_scale_factor = 0.02,
    autovacuum_vacuum_threshold = 5000,
    autovacuum_vacuum_insert_scale_factor = 0.05
);
