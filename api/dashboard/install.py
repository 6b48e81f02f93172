"""Puts the pages into the application: routes, static files, security headers, errors as pages.

JSON routes keep `application/problem+json`; a page's errors say the same in HTML.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request
from rfc9457 import Problem
from starlette.datastructures import MutableHeaders
from starlette.responses import RedirectResponse, Response
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.dashboard import operations, paths, redirects, sign_in, tenant
from api.dashboard.labels import Labels, read_labels
from api.dashboard.owner import router as owner
from api.dashboard.rendering import STATIC_FOLDER, build_environment, render
from api.dashboard.sessions import Sessions, signing_key
from api.dashboard.state import Dashboard
from api.dashboard.viewer import NotSignedIn, find_viewer
from api.kit.problems import HANDLERS
from api.settings import Settings, SettingsError

# Nothing from elsewhere, nothing inline: a script or a style that got into a page would not run.
CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
SECURITY_HEADERS = {
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    # Not no-referrer: with it, forms would send "Origin: null".
    "Referrer-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=()",
    "Cross-Origin-Opener-Policy": "same-origin",
}
# For JSON, the API's document and its page (whose script stands in it): not guessed at, not framed.
MACHINE_HEADERS = {
    "Content-Security-Policy": "frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
}
HSTS = "max-age=31536000"
FOREVER = "public, max-age=31536000, immutable"

Handler = Callable[[Request, Exception], Awaitable[Response]]


def install(app: FastAPI, settings: Settings) -> None:
    """Add the pages. After `problems.install`: pages answer with the same errors in another form.

    Raises:
        SettingsError: a setting of the pages is wrong.
    """
    app.state.dashboard = Dashboard(
        templates=build_environment(),
        sessions=Sessions(signing_key(_secret(settings.session_secret), _secret(settings.jwt_secret))),
        product_name=settings.product_name,
        contact_url=settings.contact_link(),
        proxy_header=settings.auth_proxy_header or "",
        dagster_url=settings.dagster_link(),
        operations=settings.operations,
        labels=_labels(settings),
    )
    for kind, handler in HANDLERS.items():
        app.add_exception_handler(kind, _page_or(handler))
    app.add_exception_handler(NotSignedIn, _to_sign_in)
    app.include_router(redirects.router)
    app.include_router(sign_in.router)
    app.include_router(tenant.router)
    app.include_router(owner.router)
    if settings.operations:
        app.include_router(operations.router)
    app.mount(paths.STATIC, StaticFiles(directory=STATIC_FOLDER), name="static")
    app.add_middleware(PageMiddleware)


def _labels(settings: Settings) -> Labels:
    try:
        return read_labels(Path(settings.feature_labels) if settings.feature_labels else None)
    except OSError as error:
        raise SettingsError(
            f"METERING_FEATURE_LABELS cannot be used: {settings.feature_labels}: {error.strerror}"
        ) from error
    except ValueError as error:
        raise SettingsError(f"METERING_FEATURE_LABELS cannot be used: {error}") from error


def _secret(value: Any) -> str | None:
    return value.get_secret_value() if value is not None else None


async def _to_sign_in(request: Request, error: Exception) -> Response:
    assert isinstance(error, NotSignedIn)
    target = paths.link(paths.SIGN_IN, {"next": error.target if error.target != "/" else None})
    return RedirectResponse(paths.root_path(request) + target, status_code=303)


def _page_or(handler: Handler) -> Handler:
    async def answer(request: Request, error: Exception) -> Response:
        response = await handler(request, error)
        if not paths.is_page(paths.local_path(request)):
            response.headers.update(MACHINE_HEADERS)
            return response
        problem = json.loads(bytes(response.body))
        try:
            viewer = await find_viewer(request)
        except Problem:
            viewer = None  # its token is what is wrong
        page = render(
            request,
            viewer,
            "error.html",
            status_code=response.status_code,
            title=problem["title"],
            detail=problem.get("detail"),
            status=response.status_code,
        )
        # An answer to what nobody expected is made outside of every middleware, ours included.
        page.headers.update(SECURITY_HEADERS | {"Cache-Control": "no-store"})
        for name in ("allow", "retry-after", "www-authenticate"):
            if name in response.headers:
                page.headers[name] = response.headers[name]
        return page

    return answer


class PageMiddleware:
    """Security headers for everything, strict ones for pages and static files."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        request = Request(scope)
        path = paths.local_path(request)
        is_page, is_static = paths.is_page(path), path.startswith(f"{paths.STATIC}/")
        added = SECURITY_HEADERS if is_page or is_static else MACHINE_HEADERS
        secure = paths.is_https(request)

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in added.items():
                    headers.setdefault(name, value)
                if secure:
                    headers.setdefault("Strict-Transport-Security", HSTS)
                if is_page:
                    # One person's figures: kept nowhere, not even by the browser's history cache.
                    headers["Cache-Control"] = "no-store"
                elif b"v=" in scope.get("query_string", b"") and message["status"] == 200:
                    headers["Cache-Control"] = FOREVER
            await send(message)

        await self.app(scope, receive, send_with_headers)
