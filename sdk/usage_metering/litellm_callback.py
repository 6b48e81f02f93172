"""LiteLLM's calls as usage events, in a product's process and in LiteLLM's proxy. LiteLLM is the product's own, imported when asked for."""

from __future__ import annotations

import base64
import binascii
import logging
import re
import threading
from collections import OrderedDict
from collections.abc import Mapping
from contextvars import Context, copy_context
from dataclasses import replace
from importlib import import_module
from types import SimpleNamespace
from typing import Any

from usage_metering.context import current
from usage_metering.guard import CAP_REACHED, UsageGuard
from usage_metering.openai_host import anthropic_server_of, server_of
from usage_metering.openai_usage import DEFAULT_MAX_OUTPUT, Usage, count, tokens_to_reserve, value
from usage_metering.openai_usage import usage_of as openai_usage_of
from usage_metering.stainless_client import tokens_of
from usage_metering.wrapped_call import Tracker, measured, off_loop

log = logging.getLogger("metering.tracking")

KEY_NAMES = (
    *("user_api_key_alias", "user_api_key_team_id", "user_api_key_team_alias", "user_api_key_user_id"),
    *("user_api_key_org_id", "user_api_key_end_user_id"),
)
"""What LiteLLM's proxy says about a call's key; last the end user, whom the caller names in its request."""
OPERATIONS = {"embedding": "embedding", "aembedding": "embedding"} | dict.fromkeys(
    ("completion", "acompletion", "text_completion", "atext_completion", "responses", "aresponses"), "chat_completion"
)
"""LiteLLM's kinds of call -> operation. Others (images, speech, moderation) are not metered."""
CALLS_KEPT = 10_000
_WRAPPED_ID = re.compile(r"response_id:([^;]+)")


def litellm_callback(
    tracker: Tracker, guard: UsageGuard | None = None, *, tenants: Mapping[str, str] | None = None
) -> Any:
    """Return a callback for ``litellm.callbacks``; each successful call of a model that it sees is recorded once.

    The tenant is what ``tenants`` has for the proxy's key (alias), team (id or alias), user, organization or else end user,
    and without any that of the `usage_context`. A call that a tracked client or a span records too counts once, by OpenAI's id.

    Args:
        guard: of the proxy only: a request of a tenant without room is answered 429 before it is sent. LiteLLM ignores
            what a callback raises elsewhere: there, hand over ``client=TrackedOpenAI(…, guard)``.
        tenants: ids or aliases of LiteLLM's -> tenant id. The end user is what a caller says in its request: it counts only
            for keys and teams that are no tenant's.

    Raises:
        ImportError: litellm is not installed.
    """
    base: Any = import_module("litellm.integrations.custom_logger").CustomLogger

    known = dict(tenants or {})
    calls = _Calls()

    class UsageCallback(base):  # type: ignore[misc]
        def log_pre_api_call(self, model: Any, messages: Any, kwargs: Any) -> None:
            calls.begin(kwargs.get("litellm_call_id"))

        def log_success_event(self, kwargs: Any, response_obj: Any, start_time: Any, end_time: Any) -> None:
            calls.end(kwargs.get("litellm_call_id")).run(_record, tracker, known, kwargs, response_obj)

        async def async_log_success_event(self, kwargs: Any, response_obj: Any, start_time: Any, end_time: Any) -> None:
            context = calls.end(kwargs.get("litellm_call_id"))
            await off_loop(lambda: context.run(_record, tracker, known, kwargs, response_obj))

        def log_failure_event(self, kwargs: Any, response_obj: Any, start_time: Any, end_time: Any) -> None:
            calls.end(kwargs.get("litellm_call_id"))

        async def async_log_failure_event(self, kwargs: Any, response_obj: Any, start_time: Any, end_time: Any) -> None:
            calls.end(kwargs.get("litellm_call_id"))

        async def async_pre_call_hook(self, user_api_key_dict: Any, cache: Any, data: Any, call_type: Any) -> None:
            if guard is not None:
                await off_loop(lambda: _ask(guard, known, user_api_key_dict, data))

    return UsageCallback()


class _Calls:
    """The contexts in which calls were made: LiteLLM tells of their success in threads of its own."""

    def __init__(self) -> None:
        self._contexts: OrderedDict[Any, Context] = OrderedDict()
        self._lock = threading.Lock()

    def begin(self, call_id: Any) -> None:
        context = copy_context()
        with self._lock:
            self._contexts.setdefault(call_id, context)
            while len(self._contexts) > CALLS_KEPT:
                self._contexts.popitem(last=False)

    def end(self, call_id: Any) -> Context:
        with self._lock:
            return self._contexts.pop(call_id, None) or copy_context()


def _ask(guard: UsageGuard, known: Mapping[str, str], key: Any, data: Mapping[str, Any]) -> None:
    names = {f"user_api_key_{name}": value(key, name) for name in ("team_id", "team_alias", "user_id", "org_id")}
    names |= {"user_api_key_alias": value(key, "key_alias"), "user_api_key_end_user_id": value(key, "end_user_id")}
    tenant = _tenant(known, names)
    if tenant is None:
        return
    units = measured(lambda: tokens_to_reserve("/chat/completions", data), DEFAULT_MAX_OUTPUT)
    if not guard.check(tenant, "ai", units).allowed:
        refused: Exception = import_module("fastapi").HTTPException(429, CAP_REACHED)
        raise refused


def _record(tracker: Tracker, known: Mapping[str, str], call: Mapping[str, Any], answer: Any) -> None:
    try:
        fields = _fields(call, answer)
        if fields is None:
            return
        metadata = (call.get("litellm_params") or {}).get("metadata") or {}
        tracker.record(tenant_id=_tenant(known, metadata), **fields)
    except Exception:
        log.exception("usage of a call through LiteLLM could not be recorded")


def _tenant(known: Mapping[str, str], names: Mapping[str, Any]) -> str | None:
    ids = (names.get(name) for name in KEY_NAMES)
    return next((known[one] for one in ids if isinstance(one, str) and one in known), current().tenant_id)


def _fields(call: Mapping[str, Any], answer: Any) -> dict[str, Any] | None:
    """Return what a call used as `UsageTracker.record` takes it; None where it is of no kind that is metered here."""
    if call.get("cache_hit"):
        return None  # LiteLLM has answered by itself
    operation = OPERATIONS.get(str(call.get("call_type")))
    usage = _usage(answer)
    if operation is None:
        return None
    if usage is None or not usage.total:
        log.warning(
            "a call of %s through LiteLLM has no token counts and is not metered: ask for include_usage in streams",
            call.get("model"),
        )
        return None
    parameters = call.get("litellm_params") or {}
    server = _server(call.get("custom_llm_provider"), parameters.get("api_base"))
    metadata: dict[str, Any] = dict(usage.details)
    answer_id = _provider_id(value(answer, "id")) or _request_id(parameters)
    if answer_id and not server.has_unique_ids:
        metadata["answer_id"], answer_id = answer_id, None
    if call.get("stream") and operation == "chat_completion" and not _has_asked_for_usage(call):
        # LiteLLM has counted words by itself: without the tokens of reasoning, and a few off.
        metadata["estimated"] = True
    if call.get("response_cost") is not None:
        metadata["response_cost"] = str(call["response_cost"])
    return {
        "service": server.service,
        "operation": operation,
        "channel": "ai",
        "direction": "outbound",
        "model": value(answer, "model") or call.get("model"),
        "units": usage.total,
        **tokens_of(usage),
        "external_id": answer_id,
        "seen_by": "litellm",
        "resource_id": None if server.is_vendor else server.host or call.get("custom_llm_provider"),
        "metadata": metadata or None,
    }


def _server(provider: Any, api_base: Any) -> Any:
    """Return whose server was called: the vendor's address is what LiteLLM takes where a call names none."""
    if provider == "anthropic":
        return anthropic_server_of(SimpleNamespace(base_url=api_base or "https://api.anthropic.com"))
    if provider not in (None, "openai", "azure", "azure_text", "text-completion-openai"):
        return SimpleNamespace(service="openai_compatible", host=str(provider), is_vendor=False, has_unique_ids=False)
    return server_of(SimpleNamespace(base_url=api_base or "https://api.openai.com/v1"))


def _usage(answer: Any) -> Usage | None:
    """Return the tokens, in LiteLLM's names: OpenAI's, and of Anthropic's cache what was written to it and for how long."""
    usage = openai_usage_of(answer)
    written = value(value(value(answer, "usage"), "prompt_tokens_details"), "cache_creation_tokens")
    if usage is None or not count(written):
        return usage
    lives = value(value(value(answer, "usage"), "prompt_tokens_details"), "cache_creation_token_details")
    whole = min(count(written), usage.input_tokens - usage.cached_input_tokens)
    hour = min(count(value(lives, "ephemeral_1h_input_tokens")), whole)
    return replace(usage, cache_write_tokens=whole - hour, cache_write_1h_tokens=hour)


def _has_asked_for_usage(call: Mapping[str, Any]) -> bool:
    if call.get("call_type") in ("responses", "aresponses") or call.get("custom_llm_provider") == "anthropic":
        return True  # their last event always has it
    options = call.get("stream_options") or (call.get("optional_params") or {}).get("stream_options") or {}
    return bool(value(options, "include_usage"))


def _provider_id(answer_id: Any) -> str | None:
    """Return the id that the provider gave: LiteLLM packs those of Responses with names of its own."""
    if not isinstance(answer_id, str) or not answer_id:
        return None
    try:
        unpacked = base64.b64decode(answer_id.removeprefix("resp_"), validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        return answer_id
    packed = _WRAPPED_ID.search(unpacked)
    return packed.group(1) if packed else answer_id


def _request_id(parameters: Mapping[str, Any]) -> str | None:
    """Return the provider's id of the request: an embedding has none of its own."""
    headers = ((parameters.get("metadata") or {}).get("hidden_params") or {}).get("additional_headers") or {}
    request_id = headers.get("llm_provider-x-request-id")
    return request_id if isinstance(request_id, str) else None
