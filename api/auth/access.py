"""The dependencies that let a request through: to one tenant's rows, or as a root admin to all of them.

They come first in an endpoint's signature: FastAPI solves dependencies in that order, so that a caller
without a token learns nothing about which parameters are right.
"""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Query, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from api.auth.tokens import Principal, verifier
from api.kit.database import RootReader, TenantReader
from api.kit.parameters import refuse_unknown
from api.kit.problems import InvalidInput, MissingToken, UnknownObject, WrongRole
from api.kit.services import services

bearer = HTTPBearer(
    auto_error=False,
    bearerFormat="JWT",
    scheme_name="bearer",
    description="A token of `metering token`, or of the issuer behind METERING_JWKS_URL.",
)

Credentials = Annotated[HTTPAuthorizationCredentials | None, Depends(bearer)]


async def principal(request: Request, credentials: HTTPAuthorizationCredentials | None) -> Principal:
    """Return the caller.

    Raises:
        MissingToken, InvalidToken: 401.
    """
    if credentials is None or not credentials.credentials:
        raise MissingToken("Send a token: `Authorization: Bearer …`.")
    return await verifier(request).verify(credentials.credentials)


async def tenant_reader(
    request: Request,
    credentials: Credentials,
    tenant_id: Annotated[
        str | None,
        Query(
            alias="tenantId",
            description="For a root admin: the tenant. A tenant admin's comes from the token.",
        ),
    ] = None,
) -> TenantReader:
    """Return what reads the rows of the tenant that this request is about; whether it exists is for the query
    to say.

    Raises:
        MissingToken, InvalidToken: 401.
        UnknownObject: a tenant admin asks for another tenant.
        InvalidInput: a root admin asks for none, or the route has no such parameter.
    """
    caller = await principal(request, credentials)
    if caller.tenant_id is not None and tenant_id not in (None, caller.tenant_id):
        raise UnknownObject("There is no such tenant.")
    refuse_unknown(request)
    chosen = caller.tenant_id or tenant_id
    if not chosen or "\0" in chosen:
        raise InvalidInput("tenantId", "a root admin must choose a tenant: add ?tenantId=")
    # As that tenant, whoever asks: no more rights than the answer needs.
    return services(request).database.tenant(chosen)


async def root_admin(request: Request, credentials: Credentials) -> Principal:
    """Return the caller, who is a root admin.

    Raises:
        MissingToken, InvalidToken: 401.
        WrongRole: the caller has another role.
        InvalidInput: the route has no such parameter.
    """
    caller = await principal(request, credentials)
    if caller.role != "root_admin":
        raise WrongRole("This needs the role root_admin.")
    refuse_unknown(request)
    return caller


async def root_reader(request: Request, _: Annotated[Principal, Depends(root_admin)]) -> RootReader:
    """Return what reads all tenants' rows, for a root admin; raises as `root_admin`."""
    return services(request).database.root()


OneTenant = Annotated[TenantReader, Depends(tenant_reader)]
RootAdmin = Annotated[Principal, Depends(root_admin)]
AllTenants = Annotated[RootReader, Depends(root_reader)]
