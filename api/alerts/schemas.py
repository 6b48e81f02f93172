"""Bodies of the alerts."""

from __future__ import annotations

import datetime as dt
from typing import Any

from pydantic import Field

from api.schemas import Answer, Body


class Alert(Body):
    """Something that somebody should look at: open until its condition ends."""

    id: int
    tenant_id: str = Field(examples=["acme"])
    tenant_name: str | None = Field(default=None, examples=["Acme Homes"])
    alert_type: str = Field(description="threshold, spike, anomaly, cap, unpriced or drift", examples=["threshold"])
    severity: str = Field(description="info, warning or critical", examples=["warning"])
    channel: str | None = Field(description="null: about the tenant as a whole.", examples=["sms"])
    message: str = Field(examples=["Monthly usage has exceeded $50.00"])
    details: dict[str, Any] = Field(
        description="The figures behind the message, as of the last evaluation; money in cents.",
        examples=[{"currentCost": 5123, "threshold": 5000}],
    )
    acknowledged: bool
    acknowledged_at: dt.datetime | None
    acknowledged_by: str | None
    resolved_at: dt.datetime | None = Field(description="When the condition was first seen to have ended.")
    created_at: dt.datetime


class Alerts(Answer):
    """Alerts of all tenants, the newest first."""

    items: list[Alert]
    next_cursor: str | None
