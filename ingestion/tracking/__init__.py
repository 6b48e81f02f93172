"""The tracking SDK: what a product imports to record usage where it happens, and to ask about caps before it does.

Light: installed by the extra `tracking`. The wrapped clients are loaded when they are first named; openai, twilio and
sendgrid are the product's own.

    from ingestion.tracking import TrackedOpenAI, UsageTracker, usage_context
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from ingestion.tracking.carry import carry_context
from ingestion.tracking.celery_signals import connect_celery
from ingestion.tracking.context import Context, set_usage_context, usage_context
from ingestion.tracking.events import InvalidEvent, UsageEvent
from ingestion.tracking.guard import (
    Access,
    GuardUnavailable,
    LimitStatus,
    UsageCapReached,
    UsageGuard,
    can_tenant_use_channel,
    get_tenant_usage_status,
)
from ingestion.tracking.metrics import TrackerStatus
from ingestion.tracking.middleware import UsageContextMiddleware, WSGIUsageContextMiddleware
from ingestion.tracking.reserving import Reservation
from ingestion.tracking.tracker import UsageTracker
from ingestion.tracking.unnamed import TenantRequired
from ingestion.tracking.wrapped_call import NotMetered

if TYPE_CHECKING:
    from ingestion.tracking.openai_client import AsyncTrackedOpenAI, TrackedOpenAI
    from ingestion.tracking.sendgrid_client import TrackedSendGrid
    from ingestion.tracking.twilio_client import TrackedTwilio

__all__ = [
    "Access",
    "AsyncTrackedOpenAI",
    "Context",
    "GuardUnavailable",
    "InvalidEvent",
    "LimitStatus",
    "NotMetered",
    "Reservation",
    "TenantRequired",
    "TrackedOpenAI",
    "TrackedSendGrid",
    "TrackedTwilio",
    "TrackerStatus",
    "UsageCapReached",
    "UsageContextMiddleware",
    "UsageEvent",
    "UsageGuard",
    "UsageTracker",
    "WSGIUsageContextMiddleware",
    "can_tenant_use_channel",
    "carry_context",
    "connect_celery",
    "get_tenant_usage_status",
    "set_usage_context",
    "usage_context",
]

_CLIENTS = {
    "AsyncTrackedOpenAI": "openai_client",
    "TrackedOpenAI": "openai_client",
    "TrackedSendGrid": "sendgrid_client",
    "TrackedTwilio": "twilio_client",
}


def __getattr__(name: str) -> Any:
    """Load a wrapped client when it is asked for."""
    if name in _CLIENTS:
        return getattr(import_module(f"ingestion.tracking.{_CLIENTS[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
