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
insert into ops.proofs (proof_id, usage_date, build_id, as_of, started_at, finished_at, status, rows_compared) values
    ('p1', '2026-11-10', 'build-1', '2026-11-20 12:00+00', '2026-11-20 12:10+00', '2026-11-20 12:11+00', 'equal', 12),
    ('p1', '2026-11-11', 'build-1', '2026-11-20 12:00+00', '2026-11-20 12:10+00', '2026-11-20 12:12+00', 'different', 12),
    ('p1', '2026-11-12', 'build-1', '2026-11-20 12:00+00', '2026-11-20 12:10+00', '2026-11-20 12:13+00', 'moved', 12),
    -- Built again since: proven once, not now.
    ('p0', '2026-11-13', 'build-0', '2026-11-19 12:00+00', '2026-11-19 12:10+00', '2026-11-19 12:11+00', 'equal', 12);
