-- follows: 0020
-- Events of a tenant that the directory does not know are worth an alert of their own.
alter table ops.usage_alerts drop constraint usage_alerts_alert_type_check;
alter table ops.usage_alerts add constraint usage_alerts_alert_type_check
check (alert_type in ('threshold', 'spike', 'anomaly', 'cap', 'unpriced', 'drift', 'unknown_tenant'));
