"""`POST /api/v1/events`: usage as CloudEvents."""

from __future__ import annotations

from collections import Counter
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field

from collector.auth import Caller
from collector.bodies import read_body
from collector.cloudevents import BATCH, PLAIN, STRUCTURED, read_events
from collector.intake import Result, ResultStatus
from collector.problems import NothingTaken, documented
from collector.state import shared

router = APIRouter(prefix="/api/v1", tags=["Usage"])

EVENT_EXAMPLE = {
    "specversion": "1.0",
    "id": "export-4711",
    "source": "/shop/worker",
    "type": "internal.export",
    "subject": "acme",
    "time": "2026-11-20T12:00:00Z",
    "data": {"units": 1, "feature": "reports"},
}
_SCHEMA = {"type": "object", "required": ["specversion", "id", "source", "type"]}
BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            STRUCTURED: {"schema": _SCHEMA, "example": EVENT_EXAMPLE},
            BATCH: {"schema": {"type": "array", "items": _SCHEMA}, "example": [EVENT_EXAMPLE]},
            PLAIN: {"schema": {}, "example": EVENT_EXAMPLE},
        },
    }
}


class EventResult(BaseModel):
    """What became of one event."""

    id: str | None
    status: ResultStatus
    field: str | None = Field(default=None, description="What is wrong with a rejected event.")
    detail: str | None = None


class Taken(BaseModel):
    """What became of the events of a request, in their order."""

    accepted: int
    duplicates: int
    rejected: int
    results: list[EventResult]


@router.post(
    "/events",
    responses={
        200: {"model": Taken, "description": "All are committed, or were before."},
        204: {"description": "The same, to a client that does not accept JSON."},
        207: {"model": Taken, "description": "Some are rejected; the others are committed."},
        **documented(400, 401, 403, 413, 415, 422, 429, 503),
    },
    openapi_extra=BODY,
)
async def take_events(request: Request, caller: Caller) -> Response:
    """Take CloudEvents 1.0: one, a batch, or one whose attributes are headers (binary mode); gzip is welcome.

    A 2xx means that the events named as accepted or duplicate are committed. An event counts once for ever by `source` and `id`,
    within its tenant and service; `data.external_id`, the provider's id, makes it one with what others say of the same use. Send
    again whatever was answered with 429 or 503.
    """
    here = shared(request)
    body = await read_body(request, here.largest_body)

    def taken() -> list[Result]:
        return here.intake.take(read_events(dict(request.headers), body), caller)

    results = await run_in_threadpool(taken)
    count = Counter(result.status for result in results)
    answer = Taken(
        accepted=count["accepted"],
        duplicates=count["duplicate"],
        rejected=count["rejected"],
        results=[EventResult(id=one.id, status=one.status, field=one.field, detail=one.detail) for one in results],
    )
    if count["rejected"] and count["rejected"] == len(results):
        raise NothingTaken(
            f"{results[0].field}: {results[0].detail}",
            errors=[
                {"field": f"[{index}].{one.field}" if len(results) > 1 else one.field, "message": one.detail}
                for index, one in enumerate(results)
            ],
        )
    if count["rejected"]:
        return JSONResponse(answer.model_dump(), status_code=207)
    if not _accepts_json(request.headers.get("accept", "*/*")):
        return Response(status_code=204)
    return JSONResponse(answer.model_dump())


def _accepts_json(accept: str) -> bool:
    kinds = [kind.partition(";")[0].strip().lower() for kind in accept.split(",")]
    return any(kind in ("*/*", "application/*", PLAIN) for kind in kinds)
