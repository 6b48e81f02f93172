"""Who looks at a page, and the dependencies that let them: to one tenant's page, or as a root admin to the owner's.

A viewer comes from a bearer token, from an auth proxy's header where METERING_AUTH_PROXY_HEADER names one, or from
the session cookie. The tenant of a tenant admin is the token's; only a root admin may name another by `?tenantId=`.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Query, Request

from api.auth.tokens import Principal, Role, verifier
from api.dashboard import csrf
from api.dashboard.paths import is_page, link, local_path
from api.dashboard.sessions import COOKIE
from api.dashboard.state import dashboard
from api.kit.database import RootReader, TenantReader
from api.kit.problems import InvalidInput, UnknownObject, WrongRole
from api.kit.services import services


class NotSignedIn(Exception):
    """Nobody is signed in; answered with a redirect to the sign-in page, which leads back to ``target``."""

    def __init__(self, target: str | None) -> None:
        super().__init__("not signed in")
        self.target = target


@dataclass(frozen=True, slots=True)
class Viewer:
    """A person who is signed in.

    ``tenant_id`` is None for a root admin. ``csrf_secret`` makes the tokens of their forms; `csrf_token` is one.
    ``can_operate``: the two operator commands exist, and this person may use them. ``has_session``: by cookie, so
    that signing out means something.
    """

    subject: str
    role: Role
    tenant_id: str | None
    csrf_secret: bytes
    can_operate: bool
    has_session: bool

    @property
    def csrf_token(self) -> str:
        return csrf.masked(self.csrf_secret)

    @property
    def is_root(self) -> bool:
        return self.role == "root_admin"


@dataclass(frozen=True, slots=True)
class TenantView:
    """Somebody who may see one tenant's figures, and what reads them."""

    viewer: Viewer
    reader: TenantReader


@dataclass(frozen=True, slots=True)
class RootView:
    """A root admin, and what reads all tenants' figures."""

    viewer: Viewer
    reader: RootReader


async def find_viewer(request: Request) -> Viewer | None:
    """Return who is signed in, if anybody is.

    Raises:
        InvalidToken: a bearer token or the auth proxy's is not good (a stale cookie is merely no session).
        SigningKeysUnavailable: tokens cannot be checked.
    """
    state = dashboard(request)
    token = _bearer(request) or (request.headers.get(state.proxy_header, "") if state.proxy_header else "")
    if token:
        principal = await verifier(request).verify(token.removeprefix("Bearer ").strip())
        # No session of ours: what is bound to the person is good for as long as they send tokens.
        who = hashlib.sha256(repr((principal.subject, principal.role, principal.tenant_id)).encode()).hexdigest()
        return _viewer(request, principal, f"token {who}", has_session=False)
    cookie = request.cookies.get(COOKIE)
    session = state.sessions.read(cookie) if cookie else None
    return _viewer(request, session.principal, session.session_id, has_session=True) if session else None


def _bearer(request: Request) -> str:
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""


def _viewer(request: Request, principal: Principal, session_id: str, *, has_session: bool) -> Viewer:
    state = dashboard(request)
    return Viewer(
        subject=principal.subject,
        role=principal.role,
        tenant_id=principal.tenant_id,
        csrf_secret=state.sessions.csrf_secret(session_id),
        can_operate=state.operations and principal.role == "root_admin",
        has_session=has_session,
    )


async def signed_in(request: Request) -> Viewer:
    """Return who is signed in.

    Raises:
        NotSignedIn: nobody is.
        InvalidToken, SigningKeysUnavailable: see `find_viewer`.
    """
    viewer = await find_viewer(request)
    if viewer is None:
        path = local_path(request)
        return_to = link(path, dict(request.query_params)) if request.method == "GET" and is_page(path) else None
        raise NotSignedIn(return_to)
    return viewer


SignedIn = Annotated[Viewer, Depends(signed_in)]


async def tenant_view(
    request: Request,
    viewer: SignedIn,
    tenant_id: Annotated[str | None, Query(alias="tenantId")] = None,
) -> TenantView:
    """Return what reads the tenant that this page is about.

    Raises:
        NotSignedIn: nobody is.
        UnknownObject: a tenant admin asks for another tenant.
        InvalidInput: a root admin asks for none.
    """
    if viewer.tenant_id is not None:
        if tenant_id is not None and tenant_id != viewer.tenant_id:
            raise UnknownObject("There is no such tenant.")
        return TenantView(viewer, services(request).database.tenant(viewer.tenant_id))
    if not tenant_id or "\0" in tenant_id:
        raise InvalidInput("tenantId", "a root admin must choose a tenant, in System usage")
    return TenantView(viewer, services(request).database.tenant(tenant_id))


async def root_view(request: Request, viewer: SignedIn) -> RootView:
    """Return what reads all tenants.

    Raises:
        NotSignedIn: nobody is.
        WrongRole: the viewer is not a root admin.
    """
    if not viewer.is_root:
        raise WrongRole("This page needs the role root_admin.")
    return RootView(viewer, services(request).database.root())


TenantViewer = Annotated[TenantView, Depends(tenant_view)]
RootViewer = Annotated[RootView, Depends(root_view)]


async def require_csrf(request: Request, viewer: SignedIn) -> None:
    """Let a form through that one of this viewer's own pages has sent; a dependency of every POST form.

    Raises:
        ForgedRequest: it comes from another site, or without the session's token.
    """
    csrf.check_origin(request)
    form = await request.form()
    token = form.get(csrf.FIELD)
    if not isinstance(token, str) or not csrf.matches(token, viewer.csrf_secret):
        raise csrf.ForgedRequest("It is too old, or from another sign-in. Open the page again and send it from there.")
