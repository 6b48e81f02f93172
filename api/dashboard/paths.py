"""Which paths are pages (HTML, cookies, strict headers) and which belong to machines; and links between pages."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode, urlsplit

from starlette.requests import Request

SIGN_IN = "/sign-in"
SIGN_OUT = "/sign-out"
TENANT_PAGE = "/settings/billing-usage"
SYSTEM_USAGE = "/admin/system-usage"
COSTS = "/admin/usage"
ALERTS = "/admin/alerts"
RECONCILIATION = "/admin/reconciliation"
FRESHNESS = "/admin/data-freshness"
UNATTRIBUTED = "/admin/unattributed"
# Not below the page of costs, where names of tenants are.
COSTS_EXPORT = "/admin/costs/export"

STATIC = "/static"

_ROOTS = ("/settings", "/admin", "/billing", SIGN_IN, SIGN_OUT)


def is_page(path: str) -> bool:
    """Whether this path, without the root path, is for people."""
    return path == "/" or any(path == root or path.startswith(f"{root}/") for root in _ROOTS)


def local_path(request: Request) -> str:
    """Return the request's path below the root path under which the application is served."""
    path, root = request.url.path, root_path(request)
    return path[len(root) :] or "/" if root and path.startswith(root) else path


def root_path(request: Request) -> str:
    return str(request.scope.get("root_path", "")).rstrip("/")


def is_https(request: Request) -> bool:
    """Whether the person's browser speaks https, as far as anybody says: a proxy that ends TLS does so, or the browser itself.

    For what only becomes stricter by it (a cookie's Secure): whoever makes the header up harms himself alone.
    """
    forwarded = request.headers.get("x-forwarded-proto", "").split(",")[0].strip().lower()
    origin = request.headers.get("origin", "").lower()
    return request.scope["scheme"] == "https" or forwarded == "https" or origin.startswith("https://")


def link(path: str, query: Mapping[str, Any] | None = None) -> str:
    """Return a path with a query; parameters that are None or empty are left out."""
    given = {name: str(value) for name, value in (query or {}).items() if value not in (None, "")}
    return f"{path}?{urlencode(given)}" if given else path


def safe_next(text: str | None) -> str | None:
    """Return where to go after signing in, if it is a page of ours; None for anything that could lead elsewhere."""
    if not text or not text.startswith("/") or text.startswith("//"):
        return None
    # Browsers take a backslash for a slash, and drop tabs and line breaks.
    if any(character == "\\" or ord(character) < 33 for character in text):
        return None
    parts = urlsplit(text)
    if parts.scheme or parts.netloc or not is_page(parts.path) or parts.path.startswith((SIGN_IN, SIGN_OUT)):
        return None
    return text
