-- follows: 0051
-- Conditions of the system itself are alerts, too: what it is about stands beside tenant and channel. A condition has one open alert,
-- whatever its severity; of two that are open now, the milder one is over.
alter table ops.usage_alerts drop constraint usage_alerts_alert_type_check;
alter table ops.usage_alerts add constraint usage_alerts_alert_type_check
check (
    alert_type in (
        'threshold', 'spike', 'anomaly', 'cap', 'unpriced', 'drift', 'unknown_tenant',
        'run_failed', 'provider', 'stale_source', 'check_failed', 'backlog'
    )
);
alter table ops.usage_alerts add column subject text;             -- a provider, a schedule, an asset; null: none
alter table ops.usage_alerts add column snoozed_until timestamptz; -- no message to the owner before then
update ops.usage_alerts as milder set resolved_at = clock_timestamp()
where
    milder.resolved_at is null
    and exists (
        select 1 from ops.usage_alerts as worse
        where
            worse.resolved_at is null
            and worse.tenant_id = milder.tenant_id
            and worse.alert_type = milder.alert_type
            and worse.channel is not distinct from milder.channel
            and array_position(array['info', 'warning', 'critical'], worse.severity)
            > array_position(array['info', 'warning', 'critical'], milder.severity)
    );
drop index ops.usage_alerts_open;
create unique index usage_alerts_open
on ops.usage_alerts (tenant_id, alert_type, coalesce(channel, ''), coalesce(subject, '')) where resolved_at is null;

-- Beside SMS and mail: the owner's webhook, Slack, and a tenant's own webhook.
alter table ops.alert_outbox drop constraint alert_outbox_medium_check;
alter table ops.alert_outbox add constraint alert_outbox_medium_check
check (medium in ('sms', 'email', 'webhook', 'slack', 'tenant'));
alter table ops.alert_outbox add column payload jsonb;             -- what a webhook is sent, as it was decided
alter table raw.tenants add column webhook_url text;               -- as the directory says now; in every version of the tenant

-- What people say of an alert, and until when they put it off: with acknowledgements all that metering_operator may write.
create table ops.alert_notes (
    id bigint generated always as identity primary key,
    alert_id bigint not null references ops.usage_alerts (id),
    noted_by text not null check (noted_by <> ''),
    noted_at timestamptz not null default clock_timestamp(),
    comment text check (comment <> ''),
    snoozed_until timestamptz,
    check (comment is not null or snoozed_until is not null)
);
create index alert_notes_alert on ops.alert_notes (alert_id);
