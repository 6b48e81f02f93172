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
