"""`POST /api/v1/access/…`: the guard, for any language. The same function in the database as the SDK's guard, the same answer."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Annotated, Any, Literal, TypeVar

from fastapi import APIRouter, Request, Response
from fastapi.concurrency import run_in_threadpool
from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from api.kit.problems import DatabaseUnavailable, InvalidInput, WrongRole
from collector.auth import Caller, Writer
from collector.problems import documented
from collector.state import shared
from usage_metering.guard import CAP_REACHED, Access, GuardUnavailable, UsageGuard

T = TypeVar("T")

router = APIRouter(prefix="/api/v1/access", tags=["Caps"], responses=documented(400, 401, 403, 422, 429, 503))

REFUSED_SECONDS = 5
NO_CAP_SECONDS = 30
FAR_SECONDS = 5
FAR_SHARE = Decimal("0.5")
"""Below this share of a cap an answer may be kept for `FAR_SECONDS`; above it, ask each time."""

Units = Annotated[Decimal, Field(ge=0, lt=Decimal(10) ** 20, description="Of the channel's unit; a number or text.")]
Name = Annotated[str, Field(min_length=1, max_length=500)]


class Body(BaseModel):
    model_config = ConfigDict(alias_generator=to_camel, extra="forbid", allow_inf_nan=False)


class Check(Body):
    tenant_id: Name
    channel: Name
    units: Units = Decimal(1)


class Reserve(Check):
    direction: Literal["outbound", "inbound", "none"] = "outbound"
    feature: Name | None = None
    ttl_seconds: Annotated[float, Field(gt=0, le=366 * 86_400)] = 600


class Settle(Body):
    reservation_id: Annotated[str, Field(min_length=1, max_length=100)]
    units: Units
    external_id: Name | None = Field(
        default=None, description="The provider's id of what was used, as its event will say."
    )


class Release(Body):
    reservation_id: Annotated[str, Field(min_length=1, max_length=100)]


class Answer(BaseModel):
    """`used`, `reserved` and `cap` are of the limit that decides, in its metric, as decimal text; null: no cap."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True)

    allowed: bool
    status: str | None
    used: str | None
    reserved: str | None
    cap: str | None
    reason: str | None
    message: str | None = Field(description="The sentence for the user, where it is not allowed.")
    cache_seconds: int = Field(description="For how long the answer may be kept.")


class Reserved(Answer):
    reservation_id: str | None = Field(
        default=None,
        description="Name it in the event's `reservation`, or settle or release it. Null: nothing is held.",
    )


@router.post("/check")
async def check(request: Request, body: Check, caller: Caller) -> Answer:
    """May this tenant use the channel for so much more? Reserves and records nothing."""
    _of_the_caller(body.tenant_id, caller)
    guard = shared(request).guard
    access = await run_in_threadpool(_ask, lambda: guard.check(body.tenant_id, body.channel, body.units))
    return Answer(**_figures(access), cache_seconds=_keep(access))


@router.post("/reserve")
async def reserve(request: Request, body: Reserve, caller: Caller) -> Reserved:
    """The same, and hold the room until the use is known: settled, released, or reported by an event that names the reservation."""
    _of_the_caller(body.tenant_id, caller)
    guard = shared(request).guard

    def held() -> Reserved:
        access, reservation_id = guard.hold(
            body.tenant_id,
            body.channel,
            body.units,
            direction=body.direction,
            feature=body.feature,
            ttl=body.ttl_seconds,
        )
        return Reserved(**_figures(access), cache_seconds=0, reservation_id=reservation_id)

    return await run_in_threadpool(_ask, held)


@router.post("/settle", status_code=204)
async def settle(request: Request, body: Settle, caller: Caller) -> Response:
    """The use took place: what was held becomes what was used, until its event or the provider's record arrives."""
    guard = shared(request).guard
    key = body.external_id or body.reservation_id

    def settled() -> None:
        _reserved_by_the_caller(guard, body.reservation_id, caller)
        guard.settle(body.reservation_id, key, body.units)

    await run_in_threadpool(_ask, settled)
    return Response(status_code=204)


@router.post("/release", status_code=204)
async def release(request: Request, body: Release, caller: Caller) -> Response:
    """Nothing was used: give the room back."""
    guard = shared(request).guard

    def released() -> None:
        _reserved_by_the_caller(guard, body.reservation_id, caller)
        guard.release(body.reservation_id)

    await run_in_threadpool(_ask, released)
    return Response(status_code=204)


def _of_the_caller(tenant_id: str, caller: Writer) -> None:
    if not caller.may_write_for(tenant_id):
        raise WrongRole("This token is not for the tenant.")


def _reserved_by_the_caller(guard: UsageGuard, reservation_id: str, caller: Writer) -> None:
    """Refuse another tenant's reservation. One that is gone may be ended again: that does nothing."""
    if caller.tenants is None:
        return
    tenant_id = guard.tenant_of(reservation_id)
    if tenant_id is not None and not caller.may_write_for(tenant_id):
        raise WrongRole("This token is not for the reservation's tenant.")


def _ask(question: Callable[[], T]) -> T:
    try:
        return question()
    except ValueError as error:
        raise InvalidInput("body", str(error)) from None
    except GuardUnavailable:
        raise DatabaseUnavailable("It did not answer in time. Try again in a moment.") from None


def _figures(access: Access) -> dict[str, Any]:
    def text(value: Decimal | None) -> str | None:
        return None if value is None else f"{value.normalize():f}"

    return {
        "allowed": access.allowed,
        "status": access.status,
        "used": text(access.used),
        "reserved": text(access.reserved),
        "cap": text(access.cap),
        "reason": access.reason,
        "message": None if access.allowed else CAP_REACHED,
    }


def _keep(access: Access) -> int:
    """Return for how many seconds an answer may be kept: long where a cap is far or there is none, not at all near it."""
    if access.used is None:
        return 0
    if not access.allowed:
        return REFUSED_SECONDS
    if access.reason is not None:
        return 0
    if access.cap is None:
        return NO_CAP_SECONDS
    taken = access.used + (access.reserved or 0)
    return FAR_SECONDS if taken < access.cap * FAR_SHARE else 0
