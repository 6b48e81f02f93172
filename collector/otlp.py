"""OTLP/HTTP's trace requests, protobuf and JSON, as spans. Only what `spans` looks at is taken out of them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

from api.kit.problems import UnreadableBody
from collector.problems import UnsupportedMediaType
from collector.spans import Span

PROTOBUF = "application/x-protobuf"
JSON = "application/json"


def read_spans(media_type: str, body: bytes) -> list[Span]:
    """Return the spans of a request.

    Raises:
        UnsupportedMediaType: neither protobuf nor JSON.
        UnreadableBody: not a trace request.
    """
    kind = media_type.partition(";")[0].strip().lower()
    if kind == PROTOBUF:
        try:
            return list(_of_protobuf(ExportTraceServiceRequest.FromString(body)))
        except DecodeError:
            raise UnreadableBody("The body is not an ExportTraceServiceRequest.") from None
    if kind != JSON:
        raise UnsupportedMediaType(f"OTLP over HTTP is {PROTOBUF} or {JSON}.")
    try:
        return list(_of_json(json.loads(body)))
    except (ValueError, TypeError, ArithmeticError, AttributeError, LookupError, RecursionError):
        raise UnreadableBody("The body is not an ExportTraceServiceRequest in OTLP's JSON.") from None


def answer(media_type: str, rejected: int, message: str) -> tuple[bytes, str]:
    """Return the response of a request, in its own encoding: all is taken where there is no message."""
    if media_type.partition(";")[0].strip().lower() == PROTOBUF:
        response = ExportTraceServiceResponse()
        if message:
            response.partial_success.rejected_spans = rejected
            response.partial_success.error_message = message
        return response.SerializeToString(), PROTOBUF
    partial = {"partialSuccess": {"rejectedSpans": str(rejected), "errorMessage": message}} if message else {}
    return json.dumps(partial).encode(), JSON


def _of_protobuf(request: ExportTraceServiceRequest) -> Iterator[Span]:
    def attributes(pairs: Any) -> dict[str, Any]:
        return {pair.key: getattr(pair.value, kind) for pair in pairs if (kind := _scalar(pair.value))}

    for group in request.resource_spans:
        resource = attributes(group.resource.attributes)
        for scope in group.scope_spans:
            for span in scope.spans:
                yield Span(
                    span.trace_id.hex(),
                    span.span_id.hex(),
                    span.parent_span_id.hex(),
                    span.end_time_unix_nano,
                    attributes(span.attributes),
                    resource,
                    span.dropped_attributes_count,
                )


def _scalar(value: Any) -> str | None:
    kind = value.WhichOneof("value")
    return kind if kind in ("string_value", "int_value", "double_value", "bool_value") else None


def _of_json(request: Mapping[str, Any]) -> Iterator[Span]:
    for group in request.get("resourceSpans") or ():
        resource = _json_attributes((group.get("resource") or {}).get("attributes"))
        for scope in group.get("scopeSpans") or ():
            for span in scope.get("spans") or ():
                yield Span(
                    str(span.get("traceId", "")),
                    str(span.get("spanId", "")),
                    str(span.get("parentSpanId") or ""),
                    int(span.get("endTimeUnixNano") or 0),
                    _json_attributes(span.get("attributes")),
                    resource,
                    int(span.get("droppedAttributesCount") or 0),
                )


def _json_attributes(pairs: Any) -> dict[str, Any]:
    attributes: dict[str, Any] = {}
    for pair in pairs or ():
        value = pair.get("value") or {}
        for kind in ("stringValue", "intValue", "doubleValue", "boolValue"):
            if kind in value:
                attributes[str(pair["key"])] = value[kind]
    return attributes
