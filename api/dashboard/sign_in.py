"""Signing in and out: a pasted token, or a one-time link of `metering sign-in-link`."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Form, Query, Request
from starlette.responses import RedirectResponse, Response

from api.auth.tokens import Principal, verifier
from api.dashboard import csrf, paths
from api.dashboard.navigation import home
from api.dashboard.rendering import render
from api.dashboard.sessions import COOKIE
from api.dashboard.state import dashboard
from api.dashboard.viewer import find_viewer, require_csrf
from api.kit.problems import InvalidToken

router = APIRouter(include_in_schema=False)

LINK_IS_SPENT = "This sign-in link was used before, or has expired. Ask for a new one, or paste a token."


@router.get(paths.SIGN_IN)
async def show_form(request: Request, target: Annotated[str | None, Query(alias="next")] = None) -> Response:
    """Show the form."""
    return _form(request, target)


@router.post(paths.SIGN_IN)
async def sign_in_with_token(
    request: Request,
    token: Annotated[str, Form()] = "",
    target: Annotated[str | None, Form(alias="next")] = None,
) -> Response:
    """Start a session for whoever the token says."""
    csrf.check_origin(request)
    text = "".join(token.split()).removeprefix("Bearer")
    if not text:
        return _form(request, target, "Paste a token first.", 422)
    try:
        principal = await verifier(request).verify(text)
    except InvalidToken as error:
        return _form(request, target, error.detail or error.title, 401)
    return _signed_in(request, principal, target)


@router.get(paths.SIGN_IN + "/link/{code}")
async def show_link(request: Request, code: str) -> Response:
    """Show a button: who only looks (a mail previewer, a browser's guess at what will be opened next) does not use the link up."""
    principal = dashboard(request).sessions.find_link(code)
    if principal is None:
        return _form(request, None, LINK_IS_SPENT, 401)
    return render(request, None, "sign_in_link.html", title="Sign in", code=code, tenant=principal.tenant_id)


@router.post(paths.SIGN_IN + "/link/{code}")
async def sign_in_with_link(request: Request, code: str) -> Response:
    """Start a session for whom the link was made for; it works once."""
    csrf.check_origin(request)
    principal = dashboard(request).sessions.use_link(code)
    if principal is None:
        return _form(request, None, LINK_IS_SPENT, 401)
    return _signed_in(request, principal, None)


@router.post(paths.SIGN_OUT)
async def sign_out(request: Request) -> Response:
    """End the session. Without one there is nothing to protect, and nothing to do."""
    viewer = await find_viewer(request)
    if viewer is not None:
        await require_csrf(request, viewer)
        sessions = dashboard(request).sessions
        session = sessions.read(request.cookies.get(COOKIE, ""))
        if session is not None:
            sessions.end(session)
    response = RedirectResponse(paths.root_path(request) + paths.SIGN_IN, status_code=303)
    response.delete_cookie(COOKIE, path=_cookie_path(request), httponly=True, samesite="lax")
    return response


def _signed_in(request: Request, principal: Principal, target: str | None) -> Response:
    sessions = dashboard(request).sessions
    session = sessions.start(principal)
    destination = paths.safe_next(target) or home(principal)
    response = RedirectResponse(paths.root_path(request) + destination, status_code=303)
    response.set_cookie(
        COOKIE,
        sessions.cookie(session),
        expires=session.expires_at,
        path=_cookie_path(request),
        httponly=True,
        samesite="lax",
        secure=paths.is_https(request),
    )
    return response


def _cookie_path(request: Request) -> str:
    return paths.root_path(request) or "/"


def _form(request: Request, target: str | None, error: str | None = None, status: int = 200) -> Response:
    return render(
        request, None, "sign_in.html", status_code=status, error=error, next=paths.safe_next(target), title="Sign in"
    )
