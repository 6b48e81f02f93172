-- follows: 0005
-- What somebody should look at. One open alert per tenant, type, severity and channel while its condition holds.
create table ops.usage_alerts (
    id bigint generated always as identity primary key,
    tenant_id text not null,
    alert_type text not null check (alert_type in ('threshold', 'spike', 'anomaly', 'cap', 'unpriced', 'drift')),
    severity text not null check (severity in ('info', 'warning', 'critical')),
    channel text,                             -- null: about the tenant as a whole
    message text not null,
    details jsonb not null default '{}',
    acknowledged boolean not null default false,
    acknowledged_at timestamptz,
    acknowledged_by text,
    resolved_at timestamptz,                  -- when the condition was first seen to have ended
    created_at timestamptz not null default clock_timestamp()
);
create unique index usage_alerts_open on ops.usage_alerts (tenant_id, alert_type, severity, coalesce(channel, ''))
where resolved_at is null;
create index usage_alerts_tenant on ops.usage_alerts (tenant_id, created_at desc);
