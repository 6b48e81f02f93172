"""SQL of the alerts. `ops.tenant_alerts` shows a tenant its own rows only."""

LIST = """
select
    alerts.id,
    alerts.tenant_id,
    tenants.name as tenant_name,
    alerts.alert_type,
    alerts.severity,
    alerts.channel,
    alerts.message,
    alerts.details,
    alerts.acknowledged,
    alerts.acknowledged_at,
    alerts.acknowledged_by,
    alerts.resolved_at,
    alerts.created_at
from ops.tenant_alerts as alerts
left join marts.tenants as tenants on tenants.tenant_id = alerts.tenant_id
where (%(tenant)s::text is null or alerts.tenant_id = %(tenant)s::text)
    and (%(acknowledged)s::boolean is null or alerts.acknowledged = %(acknowledged)s::boolean)
    and (%(resolved)s::boolean is null or (alerts.resolved_at is not null) = %(resolved)s::boolean)
    and (%(types)s::text[] is null or alerts.alert_type = any(%(types)s::text[]))
    and (%(severities)s::text[] is null or alerts.severity = any(%(severities)s::text[]))
    and (%(before)s::bigint is null or alerts.id < %(before)s::bigint)
order by alerts.id desc
limit %(limit)s::int + 1
"""

OPEN_OF_TENANT = """
select
    alerts.id,
    alerts.tenant_id,
    alerts.alert_type,
    alerts.severity,
    alerts.channel,
    alerts.message,
    alerts.details,
    alerts.acknowledged,
    alerts.acknowledged_at,
    alerts.acknowledged_by,
    alerts.resolved_at,
    alerts.created_at
from ops.tenant_alerts as alerts
where alerts.tenant_id = %(tenant_id)s
    and alerts.resolved_at is null
order by alerts.id desc
"""
