-- Where a tenant wants to be told of its caps, as the directory says now; null: nowhere.
create or replace function ops.webhook_of_tenant(tenant text) returns text
language sql stable
as $$
    select tenants.webhook_url from raw.tenants where tenants.tenant_id = tenant order by tenants.valid_from desc nulls last limit 1
$$;

create or replace function ops.acknowledge_alert() returns trigger
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    update ops.usage_alerts
    set acknowledged = true, acknowledged_at = new.acknowledged_at, acknowledged_by = new.acknowledged_by
    where usage_alerts.id = new.alert_id and not usage_alerts.acknowledged;
    update ops.alert_outbox set state = 'withdrawn'
    where
        alert_outbox.alert_id = new.alert_id
        and alert_outbox.state = 'waiting'
        -- Who has seen it has not told the tenant.
        and alert_outbox.medium <> 'tenant';
    return null;
end;
$$;

create or replace trigger alert_is_acknowledged after insert on ops.alert_acknowledgements
for each row execute function ops.acknowledge_alert();

-- What somebody says of an alert stays; the newest word about when to tell again holds.
create or replace function ops.note_alert() returns trigger
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    update ops.usage_alerts
    set snoozed_until = coalesce(new.snoozed_until, usage_alerts.snoozed_until)
    where usage_alerts.id = new.alert_id;
    return null;
end;
$$;

create or replace trigger alert_is_noted after insert on ops.alert_notes
for each row execute function ops.note_alert();

-- For the API: a tenant's own alerts, all of them for the owner, with what was sent about each.
create or replace view ops.alerts with (security_barrier) as
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
    sent.last_sent_at,
    usage_alerts.subject,
    usage_alerts.snoozed_until,
    -- What the owner's people say among themselves.
    case when current_setting('metering.role', true) = 'root_admin' then noted.notes else '[]'::jsonb end as notes
from ops.usage_alerts
left join lateral (
    select max(alert_outbox.sent_at) as last_sent_at
    from ops.alert_outbox
    where alert_outbox.alert_id = usage_alerts.id and alert_outbox.medium <> 'tenant'
) as sent on true
left join lateral (
    select
        coalesce(
            jsonb_agg(
                jsonb_build_object(
                    'by', alert_notes.noted_by,
                    'at', alert_notes.noted_at,
                    'comment', alert_notes.comment,
                    'snoozed_until', alert_notes.snoozed_until
                )
                order by alert_notes.id
            ),
            '[]'
        ) as notes
    from ops.alert_notes
    where alert_notes.alert_id = usage_alerts.id
) as noted on true
where
    current_setting('metering.role', true) = 'root_admin'
    or usage_alerts.tenant_id = current_setting('metering.tenant_id', true);

comment on view ops.alerts is 'Alerts with what was sent of each. A tenant reads its own, the owner all.';
