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

create function ops.acknowledge_alert() returns trigger
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    update ops.usage_alerts
    set acknowledged = true, acknowledged_at = new.acknowledged_at, acknowledged_by = new.acknowledged_by
    where usage_alerts.id = new.alert_id and not usage_alerts.acknowledged;
    update ops.alert_outbox set state = 'withdrawn'
    where alert_outbox.alert_id = new.alert_id and alert_outbox.state = 'waiting';
    return null;
end;
$$;

create trigger alert_is_acknowledged after insert on ops.alert_acknowledgements
for each row execute function ops.acknowledge_alert();

-- For the API: a tenant's own alerts, all of them for the owner, with what was sent about each.
create view ops.alerts with (security_barrier) as
select
    usage_alerts.id,
    usage_alerts.tenant_id,
    usage_alerts.alert_type,
    usage_alerts.severity,
    usage_alerts.channel,
    usage_alerts.message,
    usage_alerts.details,
    usage_alerts.acknowledged,
    usage_alerts.acknowledged_at,
    usage_alerts.acknowledged_by,
    usage_alerts.resolved_at,
    usage_alerts.created_at,
    sent.last_sent_at
from ops.usage_alerts
left join lateral (
    select max(alert_outbox.sent_at) as last_sent_at
    from ops.alert_outbox
    where alert_outbox.alert_id = usage_alerts.id
) as sent on true
where
    current_setting('metering.role', true) = 'root_admin'
    or usage_alerts.tenant_id = current_setting('metering.tenant_id', true);
