"""The lists of the providers' resources by name, and what makes a record of each."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

Record = dict[str, Any]
Row = dict[str, str]

TWILIO_LISTS = ("twilio_accounts", "twilio_messages", "twilio_calls", "twilio_recordings", "twilio_phone_numbers")
BUCKET_LISTS = (
    "openai_usage_completions",
    "openai_usage_embeddings",
    "openai_costs",
    "anthropic_usage",
    "anthropic_costs",
    "sendgrid_stats",
    "sendgrid_subuser_stats",
    "sendgrid_category_stats",
)
# OpenAI's usage beside completions and embeddings, each list by the dimensions of its endpoint.
COUNTED_LISTS: dict[str, tuple[str, ...]] = {
    "openai_usage_images": ("project_id", "user_id", "api_key_id", "model", "size", "source"),
    "openai_usage_audio_speeches": ("project_id", "user_id", "api_key_id", "model"),
    "openai_usage_audio_transcriptions": ("project_id", "user_id", "api_key_id", "model"),
    "openai_usage_moderations": ("project_id", "user_id", "api_key_id", "model"),
    "openai_usage_vector_stores": ("project_id",),
    "openai_usage_code_interpreter_sessions": ("project_id",),
    "openai_usage_file_search_calls": ("project_id", "user_id", "api_key_id", "vector_store_id"),
    "openai_usage_web_search_calls": ("project_id", "user_id", "api_key_id", "model", "context_level"),
}
R2_LISTS = ("r2_operations", "r2_storage")

DIRECTORY_COLUMNS: dict[str, tuple[str, ...]] = {
    "tenants": ("tenant_id", "name", "plan", "status", "usage_hard_stop_enabled"),
    "tenant_resources": ("tenant_id", "provider", "resource_type", "resource_id", "valid_from", "valid_to"),
    "tenant_limits": ("tenant_id", "channel", "metric", "monthly_cap", "warning_threshold_pct"),
}

# What makes two records of a list the same record: a later one replaces the earlier.
IDENTITY: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(TWILIO_LISTS, ("sid",)),
    "openai_projects": ("id",),
    "openai_usage_completions": (
        "date",
        "project_id",
        "user_id",
        "api_key_id",
        "model",
        "batch",
        "service_tier",
    ),
    "openai_usage_embeddings": ("date", "project_id", "user_id", "api_key_id", "model"),
    "openai_costs": ("date", "project_id", "api_key_id", "line_item"),
    "anthropic_usage": ("date", "workspace_id", "api_key_id", "model", "service_tier", "context_window"),
    "anthropic_costs": ("date", "workspace_id", "description", "model", "service_tier", "context_window"),
    "sendgrid_subusers": ("username",),
    "sendgrid_stats": ("date",),
    "sendgrid_subuser_stats": ("date", "subuser"),
    "sendgrid_category_stats": ("date", "category"),
    "stripe_accounts": ("id",),
    "stripe_balance_transactions": ("account", "id"),
    "r2_operations": ("bucketName", "datetime", "actionType", "actionStatus", "responseStatusCode"),
    "r2_storage": ("bucketName", "datetime"),
    **{name: ("date", *dimensions) for name, dimensions in COUNTED_LISTS.items()},
}
LISTS = tuple(IDENTITY)


@contextmanager
def without_collector() -> Iterator[None]:
    """No garbage collection while many records are made, none of which is garbage (a third of the time)."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()
