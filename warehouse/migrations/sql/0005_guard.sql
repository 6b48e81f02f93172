-- follows: 0004
-- The cap: what the marts say, what has been used since their last build, and what is reserved, in one answer.
--
-- Live usage is told from built usage by keys, never by times. One key stands for the reservation, the event and the
-- provider's record: `coalesce(external_id, event_key)`, `record_key` in intermediate.int_settled_records.

create table ops.live_usage (
    key text primary key,                     -- a reservation's own id until the record's key is known
    tenant_id text not null,
    channel text not null,
    direction text not null,
    month text not null,                      -- 'YYYY-MM'
    units numeric not null,
    requests numeric not null,
    cost_cents numeric,                       -- null: no price
    is_reserved boolean not null,
    expires_at timestamptz,                   -- null: an event that has arrived
    created_at timestamptz not null default clock_timestamp()
);
create index live_usage_channel on ops.live_usage (tenant_id, channel, month);
create index live_usage_expires on ops.live_usage (expires_at) where expires_at is not null;

create table ops.access_decisions (
    id bigint generated always as identity primary key,
    tenant_id text not null,
    channel text not null,
    units numeric not null,
    allowed boolean not null,
    status text,
    used numeric,
    reserved numeric,
    cap numeric,
    reason text,
    mode text not null default 'database' check (mode in ('database', 'database_unavailable')),
    feature text,
    decided_at timestamptz not null default clock_timestamp()
);
create index access_decisions_tenant on ops.access_decisions (tenant_id, decided_at desc);
