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
    where alert_outbox.alert_id = new.alert_id and alert_outbox.state = 'waiting';
    return null;
end;
$$;

create or replace trigger alert_is_acknowledged after insert on ops.alert_acknowledgements
for each row execute function ops.acknowledge_alert();

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
