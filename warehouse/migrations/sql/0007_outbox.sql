-- What is to be sent about an alert: written in the transaction that decides it, sent by whoever comes by, once.
create table ops.alert_outbox (
    id bigint generated always as identity primary key,
    alert_id bigint not null references ops.usage_alerts (id),
    medium text not null check (medium in ('sms', 'email')),
    idempotency_id text not null unique,      -- the same at every attempt
    subject text not null,
    body text not null,                       -- to whom is the sender's environment's affair: no addresses are kept
    created_at timestamptz not null,
    next_attempt_at timestamptz not null,
    attempts integer not null default 0,
    last_error text,
    sent_at timestamptz,
    cancelled_at timestamptz,                 -- acknowledged before it was sent
    provider_id text
);
create index alert_outbox_waiting on ops.alert_outbox (next_attempt_at) where sent_at is null and cancelled_at is null;
create index alert_outbox_alert on ops.alert_outbox (alert_id);

-- An operator may insert here and nowhere else; the trigger, with its owner's rights, marks the alert.
create table ops.alert_acknowledgements (
    alert_id bigint not null references ops.usage_alerts (id),
    acknowledged_by text not null check (acknowledged_by <> ''),
    acknowledged_at timestamptz not null default clock_timestamp()
);
create index alert_acknowledgements_alert on ops.alert_acknowledgements (alert_id);

create function ops.acknowledge_alert() returns trigger
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    -- The first acknowledgement stands.
    update ops.usage_alerts set
        acknowledged = true,
        acknowledged_at = new.acknowledged_at,
        acknowledged_by = new.acknowledged_by
    where usage_alerts.id = new.alert_id and not usage_alerts.acknowledged;
    return null;
end;
$$;
create trigger acknowledge_alert after insert on ops.alert_acknowledgements
for each row execute function ops.acknowledge_alert();

-- What the API reads: a tenant its own rows, the owner all.
create view ops.tenant_alerts with (security_barrier) as
select *
from ops.usage_alerts
where
    tenant_id = (select current_setting('metering.tenant_id', true))
    or (select current_setting('metering.role', true)) = 'root_admin';
