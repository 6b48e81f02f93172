"""Who may write what: a bearer token with the role ``tracker``, for named tenants and services or for all."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, cast

from fastapi import Depends, Request

from api.auth.access import Credentials
from api.auth.tokens import TRACKER, verifier
from api.kit.problems import InvalidToken, MissingToken, WrongRole
from collector.limits import Limiter


@dataclass(frozen=True, slots=True)
class Writer:
    """A caller whose token is good; None stands for all tenants, or all services."""

    subject: str
    tenants: frozenset[str] | None
    services: frozenset[str] | None

    def may_write_for(self, tenant_id: str) -> bool:
        """Whether the token is for this tenant."""
        return self.tenants is None or tenant_id in self.tenants

    def may_write_of(self, service: str) -> bool:
        """Whether the token is for this service."""
        return self.services is None or service in self.services


async def writer(request: Request, credentials: Credentials) -> Writer:
    """Return the caller.

    Raises:
        MissingToken, InvalidToken: 401.
        WrongRole: 403, a token of the API.
        TooManyRequests: 429.
    """
    if credentials is None or not credentials.credentials:
        raise MissingToken("Send a token of `metering token --role tracker`: `Authorization: Bearer …`.")
    claims = await verifier(request).claims(credentials.credentials)
    if claims.get("role") != TRACKER:
        raise WrongRole("This needs the role tracker: `metering token --role tracker`.")
    caller = Writer(claims["sub"], _names(claims, "tenants"), _names(claims, "services"))
    # By the signature: two tokens of one subject are two callers.
    limiter = limiter_of(request)
    request.state.rate_limit = limiter.headers(0)  # also where it refuses
    request.state.rate_limit = limiter.headers(limiter.take(credentials.credentials.rpartition(".")[2]))
    return caller


def limiter_of(request: Request) -> Limiter:
    """Return the application's limiter."""
    return cast(Limiter, request.app.state.limiter)


Caller = Annotated[Writer, Depends(writer)]


def _names(claims: dict[str, Any], claim: str) -> frozenset[str] | None:
    names = claims.get(claim)
    if names is None:
        return None
    if not isinstance(names, list) or not names or not all(isinstance(name, str) and name for name in names):
        raise InvalidToken(f"The claim {claim} is not a list of names.")
    return frozenset(names)
