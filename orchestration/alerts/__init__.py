"""Alerts: which conditions hold (`conditions`), what that means for the alerts that are open (`state`), and what is sent
about them (`outbox`, `senders`). The conditions' figures are the marts'.
"""

from orchestration.alerts.conditions import drift_conditions, holding
from orchestration.alerts.state import ALERT_TYPES, Condition, Settled, settle

__all__ = ["ALERT_TYPES", "Condition", "Settled", "drift_conditions", "holding", "settle"]
