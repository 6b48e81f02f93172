"""SQL of the operator's commands."""

# Without a conflict target and without RETURNING: both would need the right to read.
ACKNOWLEDGE = """
insert into ops.alert_acknowledgements (alert_id, acknowledged_by)
values (%(alert_id)s, %(acknowledged_by)s)
on conflict do nothing
"""

# As above; what is there already stays.
ACKNOWLEDGE_ALL = """
insert into ops.alert_acknowledgements (alert_id, acknowledged_by)
select unnest(%(alert_ids)s::bigint[]), %(acknowledged_by)s
on conflict do nothing
"""

NOTE = """
insert into ops.alert_notes (alert_id, noted_by, comment, snoozed_until)
select unnest(%(alert_ids)s::bigint[]), %(noted_by)s, %(comment)s, %(snoozed_until)s
"""

ALERTS = """
select
    alerts.id,
    alerts.acknowledged,
    alerts.acknowledged_by,
    alerts.resolved_at,
    alerts.snoozed_until
from ops.alerts
where alerts.id = any(%(alert_ids)s::bigint[])
order by alerts.id
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
