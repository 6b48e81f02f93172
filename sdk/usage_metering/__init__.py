"""The tracking SDK: what a product imports to record usage where it happens, and to ask about caps before it does.

    from usage_metering import TrackedOpenAI, UsageTracker, usage_context

A name is loaded when it is first asked for; openai, twilio and sendgrid are the product's own. Nothing here imports
another package of usage-metering: the two meet in PostgreSQL.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from usage_metering.carry import carry_context
    from usage_metering.celery_signals import connect_celery
    from usage_metering.context import Context, set_usage_context, usage_context
    from usage_metering.events import InvalidEvent, UsageEvent
    from usage_metering.failures import ConfigError
    from usage_metering.guard import (
        Access,
        GuardUnavailable,
        LimitStatus,
        UsageCapReached,
        UsageGuard,
        can_tenant_use_channel,
        get_tenant_usage_status,
    )
    from usage_metering.langchain_models import track_langchain
    from usage_metering.litellm_callback import litellm_callback
    from usage_metering.metrics import TrackerStatus
    from usage_metering.middleware import UsageContextMiddleware, WSGIUsageContextMiddleware
    from usage_metering.openai_client import AsyncTrackedOpenAI, TrackedOpenAI
    from usage_metering.reserving import Reservation
    from usage_metering.sendgrid_client import TrackedSendGrid
    from usage_metering.tracker import UsageTracker
    from usage_metering.twilio_client import TrackedTwilio
    from usage_metering.unnamed import TenantRequired
    from usage_metering.wrapped_call import NotMetered

__all__ = [
    "Access",
    "AsyncTrackedAnthropic",
    "AsyncTrackedOpenAI",
    "ConfigError",
    "Context",
    "GuardUnavailable",
    "InvalidEvent",
    "LimitStatus",
    "NotMetered",
    "Reservation",
    "TenantRequired",
    "TrackedAnthropic",
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
    "litellm_callback",
    "set_usage_context",
    "track_langchain",
    "usage_context",
]

_PLACES = {
    "anthropic_client": ("AsyncTrackedAnthropic", "TrackedAnthropic"),
    "carry": ("carry_context",),
    "celery_signals": ("connect_celery",),
    "context": ("Context", "set_usage_context", "usage_context"),
    "events": ("InvalidEvent", "UsageEvent"),
    "failures": ("ConfigError",),
    "guard": (
        "Access",
        "GuardUnavailable",
        "LimitStatus",
        "UsageCapReached",
        "UsageGuard",
        "can_tenant_use_channel",
        "get_tenant_usage_status",
    ),
    "langchain_models": ("track_langchain",),
    "litellm_callback": ("litellm_callback",),
    "metrics": ("TrackerStatus",),
    "middleware": ("UsageContextMiddleware", "WSGIUsageContextMiddleware"),
    "openai_client": ("AsyncTrackedOpenAI", "TrackedOpenAI"),
    "reserving": ("Reservation",),
    "sendgrid_client": ("TrackedSendGrid",),
    "tracker": ("UsageTracker",),
    "twilio_client": ("TrackedTwilio",),
    "unnamed": ("TenantRequired",),
    "wrapped_call": ("NotMetered",),
}
_MODULE_OF = {name: module for module, names in _PLACES.items() for name in names}


def __getattr__(name: str) -> Any:
    """Load a name when it is first asked for."""
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    loaded = globals()[name] = getattr(import_module(f"{__name__}.{_MODULE_OF[name]}"), name)
    return loaded


def __dir__() -> list[str]:
    """Return the names, loaded or not."""
    return sorted({*globals(), *__all__})
