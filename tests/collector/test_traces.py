"""Spans of OpenTelemetry, OpenLLMetry and OpenInference become the same usage; what has none is said, and nothing is read of contents."""

from __future__ import annotations

import gzip
import json
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from fastapi.testclient import TestClient
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

from collector.spans import Attribution, Span, calls_of, cloudevent_of
from tests.collector.conftest import event, token
from tests.sdk.conftest import Base

TRACES = "/v1/traces"
PROTOBUF = {"content-type": "application/x-protobuf"}
JSON = {"content-type": "application/json"}
ENDED = 1_795_250_400_000_000_000  # 2026-11-21T08:40:00Z
CHAT = {
    "gen_ai.operation.name": "chat",
    "gen_ai.provider.name": "openai",
    "gen_ai.response.model": "gpt-4o-2024-08-06",
    "gen_ai.response.id": "chatcmpl-1",
    "gen_ai.usage.input_tokens": 100,
    "gen_ai.usage.output_tokens": 20,
    "gen_ai.usage.cache_read.input_tokens": 60,
    "metering.tenant_id": "acme",
}


def protobuf(*spans: dict[str, Any], resource: dict[str, Any] | None = None) -> bytes:
    request = ExportTraceServiceRequest()
    group = request.resource_spans.add()
    _fill(group.resource.attributes, resource or {"service.name": "shop"})
    for number, attributes in enumerate(spans):
        span = group.scope_spans.add().spans.add(
            trace_id=bytes(15) + bytes([number]), span_id=bytes(8), end_time_unix_nano=ENDED
        )
        _fill(span.attributes, attributes)
    return request.SerializeToString()


def _fill(pairs: Any, attributes: dict[str, Any]) -> None:
    for key, value in attributes.items():
        pair = pairs.add(key=key)
        setattr(pair.value, {str: "string_value", int: "int_value", float: "double_value"}[type(value)], value)


def as_json(*spans: dict[str, Any]) -> bytes:
    def attributes(values: dict[str, Any]) -> list[dict[str, Any]]:
        return [
            {"key": key, "value": {"stringValue": value} if isinstance(value, str) else {"intValue": str(value)}}
            for key, value in values.items()
        ]

    written = [
        {"traceId": f"{number:032x}", "spanId": "0" * 16, "endTimeUnixNano": str(ENDED), "attributes": attributes(span)}
        for number, span in enumerate(spans)
    ]
    resource = {"attributes": attributes({"service.name": "shop"})}
    return json.dumps({"resourceSpans": [{"resource": resource, "scopeSpans": [{"spans": written}]}]}).encode()


ROWS = """
select tenant_id, service, operation, model, units, input_tokens, cached_input_tokens, output_tokens, external_id, occurred_at
from raw.usage_events order by event_key
"""
EXPECTED = (
    "acme", "openai", "chat_completion", "gpt-4o-2024-08-06", Decimal(120), 100, 60, 20, "chatcmpl-1",
    datetime.fromtimestamp(ENDED / 1e9, UTC),
)  # fmt: skip


@pytest.mark.parametrize(
    ("body", "headers"),
    [
        (protobuf(CHAT), PROTOBUF),
        (as_json(CHAT), JSON),
        (gzip.compress(protobuf(CHAT), mtime=0), {**PROTOBUF, "content-encoding": "gzip"}),
    ],
)
def test_a_call_is_one_event_however_often_it_is_exported(
    client: TestClient, base: Base, body: bytes, headers: dict[str, str]
) -> None:
    for _ in range(2):
        answer = client.post(TRACES, content=body, headers=headers)
        assert (answer.status_code, answer.headers["content-type"]) == (200, headers["content-type"])
    assert base.rows(ROWS) == [EXPECTED]
    if headers is JSON:
        assert answer.json() == {}
    else:
        assert ExportTraceServiceResponse.FromString(answer.content) == ExportTraceServiceResponse()


@pytest.mark.parametrize("is_span_first", [True, False])
def test_a_span_and_the_sdk_s_event_of_one_call_count_once(client: TestClient, base: Base, is_span_first: bool) -> None:
    data = {
        "model": "gpt-4o-2024-08-06",
        "feature": "support_chat",
        "input_tokens": 100,
        "output_tokens": 20,
        "external_id": "chatcmpl-1",
    }
    ways: list[tuple[str, dict[str, Any]]] = [
        ("/api/v1/events", {"json": event(type="openai.chat_completion", data=data)}),
        (TRACES, {"content": protobuf(CHAT), "headers": PROTOBUF}),
    ]
    for path, body in reversed(ways) if is_span_first else ways:
        assert client.post(path, **body).status_code == 200
    # Whichever comes first: both are kept, for only one knows the feature, and are one use.
    assert base.keys() == ["chatcmpl-1:span", "openai:acme:/shop export-1"]
    assert base.rows("select key, units from ops.live_usage") == [("chatcmpl-1", 120)]


def test_what_is_not_metered_is_said_and_counted(client: TestClient, base: Base) -> None:
    stream = {name: value for name, value in CHAT.items() if "usage" not in name}
    zeros = {name: 0 if "usage" in name else value for name, value in CHAT.items()}
    agent = {**CHAT, "gen_ai.operation.name": "invoke_agent"}
    web = {"http.request.method": "GET"}
    answer = client.post(
        TRACES,
        content=protobuf(stream, zeros, agent, web, CHAT),
        headers={**PROTOBUF, **token("acme", services=("internal",))},
    )
    partial = ExportTraceServiceResponse.FromString(answer.content).partial_success
    assert partial.rejected_spans == 1
    assert "may not write for the service openai" in partial.error_message
    assert "2 calls have no token counts" in partial.error_message
    assert base.keys() == []
    metrics = client.get("/metrics").text
    assert 'metering_collector_spans_total{result="without_usage"} 2.0' in metrics
    assert 'metering_collector_spans_total{result="rejected"} 1.0' in metrics


@pytest.mark.parametrize("is_json", [True, False])
def test_a_call_that_lost_attributes_is_said_and_counted(client: TestClient, base: Base, is_json: bool) -> None:
    """As in a conversation of more messages than OpenTelemetry's SDKs keep attributes: the oldest are dropped, and with them the provider."""
    cut = {name: value for name, value in CHAT.items() if name != "gen_ai.provider.name"}
    if is_json:
        request = json.loads(as_json(cut, CHAT))
        request["resourceSpans"][0]["scopeSpans"][0]["spans"][0]["droppedAttributesCount"] = 12
        body, headers = json.dumps(request).encode(), JSON
    else:
        message = ExportTraceServiceRequest.FromString(protobuf(cut, CHAT))
        message.resource_spans[0].scope_spans[0].spans[0].dropped_attributes_count = 12
        body, headers = message.SerializeToString(), PROTOBUF
    answer = client.post(TRACES, content=body, headers=headers)
    said = answer.json()["partialSuccess"] if is_json else ExportTraceServiceResponse.FromString(answer.content)
    message_of = said["errorMessage"] if is_json else said.partial_success.error_message
    assert message_of.startswith("1 calls lost attributes to a limit of their SDK")
    assert base.rows("select service, units from raw.usage_events order by service") == [
        ("openai", Decimal(120)),
        ("openai_compatible", Decimal(120)),
    ]
    assert "metering_collector_spans_cut_total 1.0" in client.get("/metrics").text


ATTRIBUTION = Attribution(["metering.tenant_id", "tenant.id"], ["feature"])


def event_of(attributes: dict[str, Any], resource: dict[str, Any] | None = None) -> dict[str, Any] | None:
    calls, _ = calls_of([Span("t", "s", "", 0, attributes, resource or {})])
    return cloudevent_of(calls[0], ATTRIBUTION) if calls else None


AGENT = {"openinference.span.kind": "AGENT"}
CALL = {"openinference.span.kind": "LLM", "llm.system": "openai", "llm.model_name": "m"}
TOKENS = {"llm.token_count.prompt": 100, "llm.token_count.completion": 20}
METERED = {**CALL, **TOKENS}
EMBEDDED = {**METERED, "openinference.span.kind": "EMBEDDING"}


@pytest.mark.parametrize(
    ("spans", "metered", "without"),
    [
        # What OpenInference 0.1.66 (openai) and 2.6.0 (openai-agents) say of one call: each its own span, with all tokens and no response's id.
        ([("b", "a", METERED), ("a", "run", METERED), ("run", "", AGENT)], ["b"], 0),
        ([("run", "", AGENT), ("a", "run", METERED), ("b", "a", METERED)], ["b"], 0),
        # Of a streamed one, openai's has no tokens; of a chat completion, OpenLLMetry's of openai-agents has none.
        ([("b", "a", CALL), ("a", "run", METERED), ("run", "", AGENT)], ["a"], 0),
        ([("b", "a", METERED), ("a", "run", CALL), ("run", "", AGENT)], ["b"], 0),
        ([("b", "a", {**CALL, **dict.fromkeys(TOKENS, 0)}), ("a", "run", METERED)], ["a"], 0),  # none, written as 0
        # Three of them, one without tokens between the others.
        ([("c", "b", METERED), ("b", "a", CALL), ("a", "", METERED)], ["c"], 0),
        # A call that was made twice; one of two has no tokens, and neither has the other call of the agent.
        ([("b", "a", METERED), ("c", "a", METERED), ("a", "", METERED)], ["b", "c"], 0),
        ([("b", "a", METERED), ("c", "a", CALL), ("a", "", METERED)], ["b"], 1),
        ([("b", "run", METERED), ("c", "run", CALL), ("run", "", AGENT)], ["b"], 1),
        ([("b", "a", CALL), ("a", "", CALL)], [], 2),
        # An embedding for a cache of answers is made within the call, and is no part of its tokens.
        ([("b", "a", EMBEDDED), ("a", "", METERED)], ["b", "a"], 0),
        # A call that is made within another, as from a stream that is being read: each has a response of its own.
        (
            [("b", "a", {**METERED, "gen_ai.response.id": "2"}), ("a", "", {**METERED, "gen_ai.response.id": "1"})],
            ["b", "a"],
            0,
        ),
        (
            [("b", "a", {**METERED, "gen_ai.response.id": "1"}), ("a", "", {**METERED, "gen_ai.response.id": "1"})],
            ["b"],
            0,
        ),
        # Two calls of an agent; a call of a tool that a call is around; spans that nothing tells apart, or that are in each other.
        ([("b", "run", METERED), ("c", "run", METERED), ("run", "", AGENT)], ["b", "c"], 0),
        ([("b", "tool", METERED), ("tool", "a", {}), ("a", "", METERED)], ["b", "a"], 0),
        ([("", "", METERED), ("", "", METERED)], ["", ""], 0),
        ([("b", "a", METERED), ("a", "b", METERED), ("c", "c", METERED)], ["b", "a", "c"], 0),
    ],
)
def test_a_call_that_is_a_span_in_a_span_counts_once(
    spans: list[tuple[str, str, dict[str, Any]]], metered: list[str], without: int
) -> None:
    counted, missing = calls_of([Span("t", name, around, 0, attributes, {}) for name, around, attributes in spans])
    assert ([span.span_id for span in counted], len(missing)) == (metered, without)


@pytest.mark.parametrize("is_json", [True, False])
def test_a_span_s_parent_is_read(client: TestClient, base: Base, is_json: bool) -> None:
    body, headers = (as_json(METERED, METERED), JSON) if is_json else (protobuf(METERED, METERED), PROTOBUF)
    if is_json:
        request = json.loads(body)
        outer, inner = request["resourceSpans"][0]["scopeSpans"][0]["spans"]
        inner.update(traceId=outer["traceId"], spanId="1" * 16, parentSpanId=outer["spanId"])
        body = json.dumps(request).encode()
    else:
        message = ExportTraceServiceRequest.FromString(body)
        first, second = (scope.spans[0] for scope in message.resource_spans[0].scope_spans)
        second.trace_id, second.span_id, second.parent_span_id = first.trace_id, b"1" * 8, first.span_id
        body = message.SerializeToString()
    answer = client.post(TRACES, content=body, headers={**headers, **token("acme")})
    assert answer.status_code == 200
    assert base.rows("select units from raw.usage_events") == [(Decimal(120),)]


@pytest.mark.parametrize("is_inner_first", [True, False])
def test_a_span_in_a_span_that_comes_in_another_request_counts_once_by_the_response_s_id(
    client: TestClient, base: Base, is_inner_first: bool
) -> None:
    """Without one each of the two is a call, as docs/collector.md says."""
    message = ExportTraceServiceRequest.FromString(protobuf(CHAT, {**CHAT, "gen_ai.usage.output_tokens": 21}))
    inner, outer = message.resource_spans[0].scope_spans
    outer.spans[0].trace_id, outer.spans[0].span_id = inner.spans[0].trace_id, b"2" * 8
    inner.spans[0].parent_span_id = outer.spans[0].span_id
    for kept in (inner, outer) if is_inner_first else (outer, inner):
        request = ExportTraceServiceRequest()
        request.resource_spans.add(resource=message.resource_spans[0].resource).scope_spans.append(kept)
        answer = client.post(TRACES, content=request.SerializeToString(), headers={**PROTOBUF, **token("acme")})
        assert answer.status_code == 200
    assert base.rows("select units from raw.usage_events") == [(Decimal(120 if is_inner_first else 121),)]
    assert base.rows("select key from ops.live_usage") == [("chatcmpl-1",)]


def test_a_call_is_whose_a_span_of_it_says_the_inner_one_first_and_its_process_last() -> None:
    inner, outer = {**METERED, "feature": "f"}, {**METERED, "tenant.id": "acme", "feature": "of the agent"}
    resource = {"tenant.id": "everybody"}
    calls, _ = calls_of([Span("t", "b", "a", 0, inner, resource), Span("t", "a", "", 0, outer, resource)])
    (event,) = [cloudevent_of(call, ATTRIBUTION) for call in calls]
    assert (event["id"], event["subject"], event["data"]["feature"]) == ("t/b", "acme", "f")


def test_spans_in_a_span_are_those_of_its_trace() -> None:
    of_two_traces = [Span("t", "b", "a", 0, METERED, {}), Span("u", "a", "", 0, METERED, {})]
    assert calls_of(of_two_traces) == (of_two_traces, [])


@pytest.mark.parametrize(
    "attributes",
    [
        {"gen_ai.system": "openai", "gen_ai.request.model": "m", "gen_ai.usage.prompt_tokens": 100, "gen_ai.usage.completion_tokens": 20},
        {"gen_ai.system": "openai", "llm.request.type": "chat", "gen_ai.response.model": "m", "llm.usage.prompt_tokens": 100,
         "llm.usage.completion_tokens": 20},
        {"openinference.span.kind": "LLM", "llm.system": "openai", "llm.model_name": "m", "llm.token_count.prompt": 100,
         "llm.token_count.completion": 20},
        {"gen_ai.operation.name": "chat", "gen_ai.provider.name": "openai", "gen_ai.response.model": "m",
         "gen_ai.usage.input_tokens": 100, "gen_ai.usage.output_tokens": 20, "server.address": "api.openai.com"},
        {"gen_ai.operation.name": "chat", "gen_ai.provider.name": "OpenAI", "gen_ai.response.model": "m",
         "gen_ai.usage.input_tokens": "100", "gen_ai.usage.output_tokens": 20.0, "gen_ai.openai.api_base": "https://eu.api.openai.com/v1"},
    ],
)  # fmt: skip
def test_every_generation_of_names_says_the_same(attributes: dict[str, Any]) -> None:
    read = event_of(attributes)
    assert read is not None
    assert (read["type"], read["data"]) == (
        "openai.chat_completion",
        {"model": "m", "input_tokens": 100, "output_tokens": 20},
    )


def test_tenant_and_feature_come_from_the_span_before_its_resource() -> None:
    usage = {"gen_ai.provider.name": "openai", "gen_ai.response.model": "m", "gen_ai.usage.input_tokens": 1}
    read = event_of({**usage, "tenant.id": "acme"}, {"metering.tenant_id": "globex", "feature": "chat"})
    assert read is not None
    assert (read["subject"], read["data"]["feature"]) == ("acme", "chat")
    of_the_resource = event_of(usage, {"metering.tenant_id": "globex"})
    assert of_the_resource is not None
    assert of_the_resource["subject"] == "globex"


def test_other_servers_are_services_of_their_own() -> None:
    usage = {"gen_ai.response.model": "m", "gen_ai.response.id": "r", "gen_ai.usage.input_tokens": 1}
    cases = [
        ({"gen_ai.provider.name": "azure.ai.openai", "server.address": "x.azure.com"}, "azure_openai", "x.azure.com"),
        ({"gen_ai.provider.name": "openai", "server.address": "llm.internal"}, "openai_compatible", "llm.internal"),
        ({"gen_ai.provider.name": "openai", "server.address": "notopenai.com"}, "openai_compatible", "notopenai.com"),
        (
            {"gen_ai.provider.name": "anthropic", "server.address": "llm.internal"},
            "anthropic_compatible",
            "llm.internal",
        ),
    ]
    for attributes, service, resource in cases:
        read = event_of({**usage, **attributes})
        assert read is not None
        assert (read["type"].split(".")[0], read["data"]["resource_id"]) == (service, resource)
        assert "external_id" not in read["data"]


def test_a_server_is_whose_it_is_to_the_wrapped_client(monkeypatch: pytest.MonkeyPatch) -> None:
    """A gateway is the vendor's where it is named so; else call and span would be two services, and count twice."""
    monkeypatch.setenv("METERING_OPENAI_HOSTS", "gateway.internal:8080")
    monkeypatch.setenv("METERING_ANTHROPIC_HOSTS", "gateway.internal:8080")
    usage = {"gen_ai.response.model": "m", "gen_ai.response.id": "r", "gen_ai.usage.input_tokens": 1}
    gateway = {"server.address": "gateway.internal", "server.port": 8080}
    cases: list[tuple[dict[str, Any], str, str | None]] = [
        ({"gen_ai.provider.name": "openai", **gateway}, "openai", None),
        ({"gen_ai.provider.name": "anthropic", **gateway}, "anthropic", None),
        (
            {"gen_ai.provider.name": "openai", **gateway, "server.port": "8081"},
            "openai_compatible",
            "gateway.internal:8081",
        ),
        (
            {"gen_ai.provider.name": "openai", "gen_ai.openai.api_base": "http://gateway.internal:8080/v1"},
            "openai",
            None,
        ),
        (
            {"gen_ai.provider.name": "openai", "server.address": "x.openai.azure.com"},
            "azure_openai",
            "x.openai.azure.com",
        ),
        (
            {"gen_ai.provider.name": "mistral_ai", "server.address": "api.openai.com"},
            "openai_compatible",
            "api.openai.com",
        ),
        ({"gen_ai.provider.name": "mistral_ai"}, "openai_compatible", "mistral_ai"),
        ({"gen_ai.provider.name": "openai", "server.address": "http://[x"}, "openai_compatible", "openai"),
        ({"gen_ai.provider.name": "anthropic", "server.address": "]["}, "anthropic_compatible", "anthropic"),
    ]
    for attributes, service, resource in cases:
        read = event_of({**usage, **attributes})
        assert read is not None
        assert (read["type"], read["data"].get("resource_id")) == (f"{service}.chat_completion", resource)
        assert read["data"].get("external_id") == ("r" if resource is None else None)


def test_a_span_that_names_no_server_called_the_one_of_its_process() -> None:
    span = {"gen_ai.provider.name": "openai", "gen_ai.response.model": "m", "gen_ai.usage.input_tokens": 1}
    process = {"gen_ai.openai.api_base": "https://llm.internal/v1", "server.address": "shop.example.com"}
    for attributes, service in (({}, "openai_compatible"), ({"server.address": "api.openai.com"}, "openai")):
        read = event_of({**span, **attributes}, process)
        assert read is not None
        assert read["type"] == f"{service}.chat_completion"
        assert read["data"].get("resource_id") == ("llm.internal" if service == "openai_compatible" else None)


def test_anthropics_own_answers_bear_its_ids() -> None:
    usage = {"gen_ai.response.model": "m", "gen_ai.response.id": "msg_1", "gen_ai.usage.input_tokens": 1}
    for more in ({}, {"server.address": "api.anthropic.com"}):
        read = event_of({**usage, "gen_ai.provider.name": "anthropic", **more})
        assert read is not None
        assert (read["type"], read["data"]["external_id"]) == ("anthropic.chat_completion", "msg_1")


def test_input_that_leaves_the_cache_out_is_made_whole() -> None:
    read = event_of(
        {
            "gen_ai.provider.name": "anthropic",
            "gen_ai.response.model": "m",
            "gen_ai.usage.input_tokens": 10,
            "gen_ai.usage.cache_read.input_tokens": 1000,
            "gen_ai.usage.cache_creation.input_tokens": 100,
        }
    )
    assert read is not None
    assert read["data"]["input_tokens"] == 1110


def test_embeddings_have_input_only() -> None:
    read = event_of(
        {"gen_ai.operation.name": "embeddings", "gen_ai.provider.name": "openai", "gen_ai.usage.input_tokens": 7}
    )
    assert read is not None
    assert (read["type"], read["data"]) == ("openai.embedding", {"input_tokens": 7})


@pytest.mark.parametrize(
    ("body", "headers", "status"),
    [
        (b"\xff\xff\xff", PROTOBUF, 400),
        (protobuf(CHAT)[:-3], PROTOBUF, 400),
        (b"{", JSON, 400),
        (b"[]", JSON, 400),
        (b'{"resourceSpans": [{"scopeSpans": [{"spans": [7]}]}]}', JSON, 400),
        (b'{"resourceSpans": 7}', JSON, 400),
        (b'{"resourceSpans": [{"scopeSpans": [{"spans": [{"endTimeUnixNano": "x"}]}]}]}', JSON, 400),
        (b'{"resourceSpans": [{"scopeSpans": [{"spans": [{"endTimeUnixNano": 1e999}]}]}]}', JSON, 400),
        (b"[" * 100_000, JSON, 400),
        (b"{}", {"content-type": "text/plain"}, 415),
        (b"{}", JSON, 200),
        (b"", PROTOBUF, 200),
        (as_json({**CHAT, "gen_ai.usage.input_tokens": -5}), JSON, 200),
        (as_json({**CHAT, "gen_ai.usage.input_tokens": 2**70}), JSON, 200),
        (as_json({**CHAT, "metering.tenant_id": "a" * 600}), JSON, 200),
        (as_json({**CHAT, "gen_ai.input.messages": "x" * 3_000_000}), JSON, 200),
        (as_json(CHAT).replace(str(ENDED).encode(), b"9" * 30), JSON, 200),
    ],
)  # fmt: skip
def test_hostile_bodies(client: TestClient, body: bytes, headers: dict[str, str], status: int) -> None:
    answer = client.post(TRACES, content=body, headers=headers)
    assert answer.status_code == status, answer.text


def test_prompts_are_not_kept(client: TestClient, base: Base) -> None:
    body = protobuf({**CHAT, "gen_ai.prompt.0.content": "secret words", "gen_ai.input.messages": "secret words"})
    assert client.post(TRACES, content=body, headers=PROTOBUF).status_code == 200
    (stored,) = base.rows("select row_to_json(usage_events)::text from raw.usage_events")
    assert "secret" not in stored[0]
