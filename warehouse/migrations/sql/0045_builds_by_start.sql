-- follows: 0044
-- With each request for a summary it is asked whether a build has begun since the newest good one.
create index if not exists builds_started on ops.builds (started_at);
