"""SQL of the operator's commands."""

# Without a conflict target and without RETURNING: both would need the right to read.
ACKNOWLEDGE = """
insert into ops.alert_acknowledgements (alert_id, acknowledged_by)
values (%(alert_id)s, %(acknowledged_by)s)
on conflict do nothing
"""

ALERT = """
select
    alerts.id,
    alerts.tenant_id,
    alerts.acknowledged,
    alerts.acknowledged_at,
    alerts.acknowledged_by,
    alerts.resolved_at
from ops.alerts
where alerts.id = %(alert_id)s
"""
