"""Alerts: which conditions hold (`rules` on what `facts` reads from the marts), what that means for the alerts that are
open (`state`), and telling the administrator (`outbox`, by `senders`). The conditions' figures are the marts'.
"""

from costs.alerts.evaluation import evaluate
from costs.alerts.facts import drift_conditions
from costs.alerts.mail_totals import totals_below_parts
from costs.alerts.retention import expiring, retention_conditions
from costs.alerts.rules import ALERT_TYPES, Condition
from costs.alerts.state import Settled, settle

__all__ = [
    "ALERT_TYPES",
    "Condition",
    "Settled",
    "drift_conditions",
    "evaluate",
    "expiring",
    "retention_conditions",
    "settle",
    "totals_below_parts",
]
