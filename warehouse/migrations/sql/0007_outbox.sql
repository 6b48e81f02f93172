-- follows: 0006
-- What is to be told to the administrator. A row is written in the transaction that decides it and stays: a crash between
-- decision and sending leaves a row that waits. Recipients are the environment's: no phone number or address stands here.
create table ops.alert_outbox (
    id bigint generated always as identity primary key,
    alert_id bigint not null references ops.usage_alerts (id),
    round integer not null,                   -- 1, and one more for every time that it is told again
    medium text not null check (medium in ('sms', 'email')),
    idempotency_id text not null unique,      -- goes along with every attempt
    tenant_name text not null,
    body text not null,
    state text not null default 'waiting' check (state in ('waiting', 'sent', 'withdrawn')),
    attempts integer not null default 0,
    doubts integer not null default 0,        -- attempts that began, and nobody knows how they ended
    in_doubt_since timestamptz,               -- the first attempt in doubt
    attempted_at timestamptz,                 -- the last attempt
    next_attempt_at timestamptz not null,
    sent_at timestamptz,
    provider_id text,
    last_error text,                          -- never with a number, an address or a secret
    created_at timestamptz not null,
    unique (alert_id, round, medium)
);
create index alert_outbox_waiting on ops.alert_outbox (next_attempt_at) where state = 'waiting';

-- Who has seen what: the one thing that metering_operator may write.
create table ops.alert_acknowledgements (
    alert_id bigint primary key references ops.usage_alerts (id),
    acknowledged_by text not null check (acknowledged_by <> ''),
    acknowledged_at timestamptz not null default clock_timestamp()
);
