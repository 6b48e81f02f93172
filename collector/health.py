"""`/healthz`: the process runs. `/readyz`: an event would be taken now; else 503 that says why not."""

from __future__ import annotations

from typing import Literal

import psycopg
from fastapi import APIRouter, Request
from fastapi.concurrency import run_in_threadpool
from pydantic import BaseModel

from api.kit.problems import NotReady, documented
from collector.problems import MISSING
from collector.state import shared

router = APIRouter(tags=["Health"])


class Healthy(BaseModel):
    status: Literal["ok"] = "ok"


class Ready(BaseModel):
    status: Literal["ready"] = "ready"


@router.get("/healthz")
async def healthz() -> Healthy:
    """The process runs."""
    return Healthy()


@router.get("/readyz", responses=documented(503))
async def readyz(request: Request) -> Ready:
    """The database answers, and takes events."""
    try:
        await run_in_threadpool(shared(request).intake.answers)
    except psycopg.ProgrammingError:
        raise NotReady(MISSING) from None
    except psycopg.Error:
        raise NotReady("The database does not answer, or refuses the role metering_tracker.") from None
    return Ready()
