"""A GenAI span as a CloudEvent of usage, whichever generation of attribute names it carries. Pure.

Names: OpenTelemetry's semantic conventions for generative AI (https://opentelemetry.io/docs/specs/semconv/gen-ai/, and its earlier
`prompt_tokens`, `gen_ai.system`), OpenLLMetry's (`llm.usage.…`, https://github.com/traceloop/openllmetry) and OpenInference's
(`llm.token_count.…`, https://github.com/Arize-ai/openinference). Only the attributes named here are looked at: prompts and
completions are never read.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

from usage_metering.events import PARTS_OF_INPUT
from usage_metering.openai_host import Server, anthropic_server_of, server_of

PROVIDER = ("gen_ai.provider.name", "gen_ai.system", "llm.provider", "llm.system")
OPERATION = ("gen_ai.operation.name", "llm.request.type", "openinference.span.kind")
MODEL = ("gen_ai.response.model", "gen_ai.request.model", "llm.model_name", "embedding.model_name")
RESPONSE_ID = ("gen_ai.response.id", "llm.response.id")
SERVER = ("server.address", "gen_ai.openai.api_base", "gen_ai.server.address")
PORT = "server.port"
# As a product may set it in OTEL_RESOURCE_ATTRIBUTES, for spans that do not say whom they called (OpenLLMetry's of Responses).
SERVER_OF_PROCESS = "gen_ai.openai.api_base"
TOKENS = {
    "input_tokens": (
        "gen_ai.usage.input_tokens",
        "gen_ai.usage.prompt_tokens",
        "llm.usage.prompt_tokens",
        "llm.token_count.prompt",
    ),
    "output_tokens": (
        "gen_ai.usage.output_tokens",
        "gen_ai.usage.completion_tokens",
        "llm.usage.completion_tokens",
        "llm.token_count.completion",
    ),
    "cached_input_tokens": (
        "gen_ai.usage.cache_read.input_tokens",
        "gen_ai.usage.cache_read_input_tokens",
        "llm.usage.cache_read_input_tokens",
        "llm.token_count.prompt_details.cache_read",
    ),
    "cache_write_tokens": (
        "gen_ai.usage.cache_creation.input_tokens",
        "gen_ai.usage.cache_creation_input_tokens",
        "llm.usage.cache_creation_input_tokens",
        "llm.token_count.prompt_details.cache_write",
    ),
}
"""Event field -> attributes. None says how long a write to the cache lives (the conventions know one number of writes): ``cache_write_1h_tokens`` is
not among them."""
CALLS = {
    "chat": "chat_completion",
    "text_completion": "chat_completion",
    "completion": "chat_completion",
    "generate_content": "chat_completion",
    "responses": "chat_completion",
    "llm": "chat_completion",
    "embeddings": "embedding",
    "embedding": "embedding",
}
"""Operations that are one call of a model. An agent's or a chain's span sums up those below it, and would count them twice."""
DEEPEST = 8
"""So many calls around a call are looked for, which bounds the work. Seen: one or two."""

AZURE = ("azure.ai.openai", "az.ai.openai", "azure_openai", "azure")
VENDORS = {
    "openai": ("https://api.openai.com", server_of),
    "anthropic": ("https://api.anthropic.com", anthropic_server_of),
}
"""Provider -> what a span without an address has called, and whose an address is: the same as to the wrapped client."""
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Span:
    """What is looked at of a span.

    ``parent_id``: of the span around it, empty for none. ``ended_ns``: nanoseconds since 1970; 0 where it is missing.
    ``dropped``: how many more attributes it had than its SDK keeps. ``around``: the attributes of the same call's spans around it, the nearest first.
    """

    trace_id: str
    span_id: str
    parent_id: str
    ended_ns: int
    attributes: Mapping[str, Any]
    resource: Mapping[str, Any]
    dropped: int = 0
    around: Sequence[Mapping[str, Any]] = ()


@dataclass(frozen=True, slots=True)
class Attribution:
    """The attributes that name tenant and feature, the first that is there counts; a span's come before its call's around it, these before its
    resource's.
    """

    tenant: Sequence[str]
    feature: Sequence[str]

    def tenant_of(self, attributes: Mapping[str, Any]) -> str | None:
        """Return the tenant that they name."""
        return _text(_first(attributes, self.tenant))

    def feature_of(self, attributes: Mapping[str, Any]) -> str | None:
        """Return the feature that they name."""
        return _text(_first(attributes, self.feature))


def is_call(span: Span) -> bool:
    """Whether the span is one call of a model, rather than an agent, a tool or nothing of the kind."""
    operation = _first(span.attributes, OPERATION)
    if operation is not None:
        return str(operation).lower() in CALLS
    return _first(span.attributes, PROVIDER) is not None and _first(span.attributes, MODEL) is not None


def calls_of(spans: Sequence[Span]) -> tuple[list[Span], list[Span]]:
    """Return the calls among the spans: those with token counts, each once, and those without.

    Where two instrumentations see one call, it is a span in a span (OpenInference's of openai-agents around that of openai). The inner one counts:
    a span around it sums up what is below it. If only one of the two has tokens, that one counts, and nothing is missing. Whom the inner one does not
    name, those around it may.
    """
    calls = {_key(span): span for span in spans if is_call(span)}
    metered = [span for span in spans if is_call(span) and has_usage(span)]
    sums = {around for span in metered for around in _around(span, calls)}
    counted = {_key(span) for span in metered} - sums
    without = [
        span
        for span in spans
        if is_call(span) and not has_usage(span) and _key(span) not in sums and counted.isdisjoint(_around(span, calls))
    ]
    return [
        replace(span, around=tuple(calls[key].attributes for key in _around(span, calls)))
        for span in metered
        if _key(span) in counted
    ], without


def has_usage(span: Span) -> bool:
    """Whether the span has token counts: none is not 0 tokens, and 0 of both is none (as OpenLLMetry writes it of streams that it cannot read)."""
    return any(_number(span.attributes, attributes) for attributes in TOKENS.values())


def cloudevent_of(span: Span, attribution: Attribution) -> dict[str, Any]:
    """Return the usage of a call that has one."""
    tokens = {
        name: number
        for name, attributes in TOKENS.items()
        if (number := _number(span.attributes, attributes)) is not None
    }
    written = sum(tokens.get(name, 0) for name in PARTS_OF_INPUT)
    if written > tokens.get("input_tokens", 0):
        # A vendor whose input does not include what came from the cache or went into it.
        tokens["input_tokens"] = tokens.get("input_tokens", 0) + written
    provider = str(_first(span.attributes, PROVIDER) or "").lower()
    address = _first(span.attributes, SERVER) or span.resource.get(SERVER_OF_PROCESS)
    server = _server(provider, _url(_text(address), span.attributes.get(PORT)))
    operation = _operation(span)
    data: dict[str, Any] = {
        "model": _text(_first(span.attributes, MODEL)),
        "feature": _text(_named(span, attribution.feature)),
        # Only the vendors' own ids are the provider's record's.
        "external_id": _text(_first(span.attributes, RESPONSE_ID)) if server.is_vendor else None,
        "resource_id": None if server.is_vendor else server.host or provider or None,
        **tokens,
    }
    if operation == "embedding":
        data.pop("output_tokens", None)
    envelope: dict[str, Any] = {
        "specversion": "1.0",
        "id": f"{span.trace_id}/{span.span_id}",
        "source": f"/otlp/{_text(span.resource.get('service.name')) or 'unknown'}",
        "type": f"{server.service}.{operation}",
        "data": {name: value for name, value in data.items() if value is not None},
    }
    tenant = _text(_named(span, attribution.tenant))
    if tenant:
        envelope["subject"] = tenant
    if 0 < span.ended_ns < 2**63:
        envelope["time"] = (EPOCH + timedelta(microseconds=span.ended_ns // 1000)).isoformat()
    return envelope


def _key(span: Span) -> tuple[str, str]:
    return span.trace_id, span.span_id


def _around(span: Span, calls: Mapping[tuple[str, str], Span]) -> list[tuple[str, str]]:
    """Return the keys of the calls of the same kind that the span is in, the nearest first; any other span, or another response, ends them."""
    found: list[tuple[str, str]] = []
    inner = span
    while len(found) < DEEPEST and inner.parent_id and (key := (inner.trace_id, inner.parent_id)) in calls:
        if key == _key(span):
            return []  # spans that are in each other: no tracer writes them, and none of them is a sum
        inner = calls[key]
        if _operation(inner) != _operation(span) or _are_two(inner, span):
            break
        found.append(key)
    return found


def _are_two(one: Span, other: Span) -> bool:
    answers = {_text(_first(span.attributes, RESPONSE_ID)) for span in (one, other)} - {None}
    return len(answers) == 2


def _operation(span: Span) -> str:
    return CALLS.get(str(_first(span.attributes, OPERATION) or "").lower(), "chat_completion")


def _server(provider: str, url: str | None) -> Server:
    own, of_client = VENDORS.get(provider, ("", server_of))
    try:
        server = of_client(SimpleNamespace(base_url=url or own))
    except ValueError:
        server = Server("anthropic_compatible" if provider == "anthropic" else "openai_compatible", "")  # no address
    if provider in AZURE:
        return Server("azure_openai", server.host)
    return server if provider in VENDORS else Server("openai_compatible", server.host)


def _url(address: str | None, port: Any) -> str | None:
    """Return the address of a server as a base URL, which some spans say and others say in parts."""
    if address is None or "://" in address:
        return address
    name = f"[{address}]" if address.count(":") > 1 else address  # IPv6
    return f"https://{name}" if port in (None, "", 80, "80") else f"https://{name}:{port}"


def _first(attributes: Mapping[str, Any], names: Sequence[str]) -> Any:
    return next((attributes[name] for name in names if attributes.get(name) is not None), None)


def _named(span: Span, names: Sequence[str]) -> Any:
    said = (_first(attributes, names) for attributes in (span.attributes, *span.around, span.resource))
    return next((value for value in said if value is not None), None)


def _number(attributes: Mapping[str, Any], names: Sequence[str]) -> int | None:
    value = _first(attributes, names)
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 20:
        return int(value)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or value != value or value < 0:
        return None
    return int(value) if value == int(min(value, 2**62)) else None


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None
