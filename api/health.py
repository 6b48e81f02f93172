"""`/healthz`: the process runs. `/readyz`: it could answer now; else 503 that says what is missing."""

from __future__ import annotations

from typing import Any, Literal

import psycopg
from fastapi import APIRouter, Request
from psycopg_pool import PoolClosed, PoolTimeout
from pydantic import BaseModel

from api.kit.problems import NotReady, documented
from api.kit.queries import REQUIRED_MARTS
from api.kit.services import services

router = APIRouter(tags=["Health"])


class Healthy(BaseModel):
    status: Literal["ok"] = "ok"


class Check(BaseModel):
    name: str
    ok: bool
    detail: str


class Ready(BaseModel):
    status: Literal["ready"] = "ready"
    checks: list[Check]


@router.get("/healthz", summary="Does the process run?")
async def healthz() -> Healthy:
    """The process runs."""
    return Healthy()


@router.get("/readyz", summary="Could it answer now?", responses=documented(503))
async def readyz(request: Request) -> Ready:
    """The database answers, the role is bound by row-level security, and the marts are there."""
    checks = await _checks(request)
    failed = [check for check in checks if not check.ok]
    if failed:
        raise NotReady(failed[0].detail, checks=[check.model_dump() for check in checks])
    return Ready(checks=checks)


async def _checks(request: Request) -> list[Check]:
    database = services(request).database
    try:
        role = await database.session_role()
    except (psycopg.Error, PoolTimeout, PoolClosed):
        return [Check(name="database", ok=False, detail="the database does not answer, or refuses the API's role")]
    checks = [Check(name="database", ok=True, detail="answers"), _role(role)]
    missing = await database.missing_marts(REQUIRED_MARTS)
    detail = f"missing: {', '.join(missing)} (run `metering rebuild --days 7`)" if missing else "present"
    checks += _replica(await database.replica())
    return [*checks, Check(name="marts", ok=not missing, detail=detail)]


def _role(role: Any) -> Check:
    if role["bypasses_row_security"]:
        return Check(
            name="role",
            ok=False,
            detail=f"the role {role['name']} bypasses row-level security: use metering_api",
        )
    return Check(name="role", ok=True, detail=f"{role['name']}, bound by row-level security")


def _replica(server: Any) -> list[Check]:
    """Return nothing on a primary. A replica that is behind can answer: bodies say of which data they are."""
    if not server["is_replica"]:
        return []
    behind = server["behind_seconds"]
    detail = "it is not known how far behind" if behind is None else f"at most {behind} s behind"
    return [Check(name="replica", ok=True, detail=detail)]
