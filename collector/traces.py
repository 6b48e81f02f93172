"""`POST /v1/traces`: GenAI spans of OpenTelemetry's exporters as usage."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response
from fastapi.concurrency import run_in_threadpool

from collector import otlp
from collector.auth import Caller
from collector.bodies import read_body
from collector.problems import documented
from collector.spans import calls_of, cloudevent_of
from collector.state import shared

router = APIRouter(tags=["Usage"])

BODY = {
    "requestBody": {
        "required": True,
        "description": "An ExportTraceServiceRequest.",
        "content": {
            otlp.PROTOBUF: {"schema": {"type": "string", "format": "binary"}},
            otlp.JSON: {"schema": {"type": "object"}},
        },
    }
}


@router.post("/v1/traces", responses=documented(400, 401, 403, 413, 415, 429, 503), openapi_extra=BODY)
async def take_traces(request: Request, caller: Caller) -> Response:
    """Take OTLP traces (protobuf or JSON, gzip is welcome): each call of a model becomes a usage event, also where it is a span in a span.

    Tenant and feature come from attributes of the span or its resource. A span without token counts is no usage and not 0 tokens: it
    is counted in `/metrics` and named in the response, as is one that lost attributes to its SDK's limit. Prompts and completions are not read.
    """
    here = shared(request)
    body = await read_body(request, here.largest_body)
    media_type = request.headers.get("content-type", "")

    def taken() -> tuple[int, str]:
        calls, without = calls_of(otlp.read_spans(media_type, body))
        events = [cloudevent_of(span, here.attribution) for span in calls]
        rejected = [one for one in here.intake.take(events, caller, seen_by="span") if one.status == "rejected"]
        cut = sum(span.dropped > 0 for span in (*calls, *without))
        here.cut_spans.inc(cut)
        here.spans.labels("usage").inc(len(events) - len(rejected))
        here.spans.labels("without_usage").inc(len(without))
        here.spans.labels("rejected").inc(len(rejected))
        notes = (
            [f"{len(rejected)} rejected, the first for {rejected[0].field}: {rejected[0].detail}"] if rejected else []
        )
        if without:
            notes.append(f"{len(without)} calls have no token counts and are not metered")
        if cut:
            notes.append(
                f"{cut} calls lost attributes to a limit of their SDK, perhaps the provider or the tenant: raise OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT"
            )
        return len(rejected), "; ".join(notes)

    rejected, message = await run_in_threadpool(taken)
    content, kind = otlp.answer(media_type, rejected, message)
    return Response(content, media_type=kind)
