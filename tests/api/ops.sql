-- Bookkeeping of one finished build of the small world. Run as the owner.

insert into ops.builds values (
    'build-1', '2026-10-01', '2026-11-21', '2026-11-20 12:00+00', '2026-11-20 12:00+00', '2026-11-20 12:01+00', 'ok',
    '2026-11-20 11:45+00', '{}'
);
insert into ops.source_reads values
    ('twilio_messages', 'AC1', '2026-11-19', 'twilio', 'load-1', '2026-11-20 11:50+00', 250, 1),
    ('twilio_messages', 'AC1', '2026-11-18', 'twilio', 'load-1', '2026-11-20 11:45+00', 10, 0);
insert into ops.ingest_runs values
    ('load-1', 'twilio', '2026-11-18', '2026-11-21', '2026-11-20 11:44+00', '2026-11-20 11:51+00', 'failed', 'HTTP 503');
-- Forecasts as of today, of yesterday (another figure) and of a month ago.
insert into ops.usage_forecasts values
    ('acme', '2026-11-20', '2026-11', '', 'cost_cents', 'any', 531.5, 800.25, 700.125, 905, null, null, null, null, null, null, 36, 10, 'build-1'),
    ('acme', '2026-11-20', '2026-11', 'sms', 'units', 'any', 650, 980, 860, 1120, 1000, false, '2026-11-26', '2026-11-29', null, 0.62, 36, 0, 'build-1'),
    ('acme', '2026-11-20', '2026-11', 'sms', 'cost_cents', 'outbound', 474, 720, 650, 800, 500, false, '2026-11-21', '2026-11-21', '2026-11-22', 0.999, 36, 0, 'build-1'),
    ('acme', '2026-11-20', '2026-11', 'email', 'requests', 'any', 0, null, null, null, null, null, null, null, null, null, 0, 0, 'build-1'),
    ('acme', '2026-11-20', '2026-11', 'ai', 'cost_cents', 'any', 0.5, 0.9, 0.6, 1.25, 2000, false, null, null, null, 0, 1, 10, 'build-1'),
    ('acme', '2026-11-19', '2026-11', '', 'cost_cents', 'any', 500, 1, 1, 1, null, null, null, null, null, null, 35, 0, 'build-0'),
    ('acme', '2026-10-20', '2026-10', 'sms', 'units', 'any', 9, 9, 9, 9, 9, true, '2026-10-02', '2026-10-02', '2026-10-02', 1, 9, 0, 'build-0'),
    ('bolt', '2026-11-20', '2026-11', '', 'cost_cents', 'any', null, null, null, null, null, null, null, null, null, null, 10, 77, 'build-1'),
    ('bolt', '2026-11-20', '2026-11', 'sms', 'units', 'any', 501, 700, 600, 800, 500, true, '2026-11-12', '2026-11-12', '2026-11-12', 1, 10, 0, 'build-1'),
    ('dune', '2026-11-20', '2026-11', 'sms', 'units', 'any', 5, null, null, null, 100, null, null, null, null, null, 0, 0, 'build-1'),
    ('dune', '2026-11-20', '2026-11', 'mms', 'units', 'any', 5, 9, 8, 11, 12, false, null, null, null, 0.04, 9, 0, 'build-1');
insert into ops.proofs (proof_id, usage_date, build_id, as_of, started_at, finished_at, status, rows_compared) values
    ('p1', '2026-11-10', 'build-1', '2026-11-20 12:00+00', '2026-11-20 12:10+00', '2026-11-20 12:11+00', 'equal', 12),
    ('p1', '2026-11-11', 'build-1', '2026-11-20 12:00+00', '2026-11-20 12:10+00', '2026-11-20 12:12+00', 'different', 12),
    ('p1', '2026-11-12', 'build-1', '2026-11-20 12:00+00', '2026-11-20 12:10+00', '2026-11-20 12:13+00', 'moved', 12),
    -- Built again since: proven once, not now.
    ('p0', '2026-11-13', 'build-0', '2026-11-19 12:00+00', '2026-11-19 12:10+00', '2026-11-19 12:11+00', 'equal', 12);
-- A number of ours that the directory gives to nobody: usage has it by its hash.
insert into raw.twilio_phone_numbers (account_id, sid, phone_number, phone_number_hash, number_type, held_from, last_seen_on, load_id) values
    ('AC1', 'PN1', '+15550100', 'hash-of-ours', 'local', '2026-10-01', '2026-11-20', 'load-1');
