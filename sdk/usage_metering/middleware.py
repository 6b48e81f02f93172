"""The `usage_context` of a web request, from its first line to the last byte of its answer: for ASGI and WSGI applications."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, MutableMapping
from contextvars import copy_context
from dataclasses import fields
from typing import Any

from usage_metering.context import Context, request_context

log = logging.getLogger("metering.tracking")

Names = Mapping[str, Any] | None
Scope = MutableMapping[str, Any]
ASGI = Callable[[Scope, Callable[[], Awaitable[Any]], Callable[[Any], Awaitable[None]]], Awaitable[None]]
WSGI = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]

_KNOWN = frozenset(item.name for item in fields(Context))


class UsageContextMiddleware:
    """ASGI: everything that handles a request (endpoints in threads, background tasks, streamed answers) has its context.

    Args:
        app: the application.
        names: what a request's scope says, as the arguments of `usage_context`; None where that is for
            `set_usage_context` to say, once the tenant is known.
    """

    def __init__(self, app: ASGI, names: Callable[[Scope], Names] | None = None) -> None:
        self._app = app
        self._names = names

    async def __call__(self, scope: Scope, receive: Any, send: Any) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        with request_context(_context_of(self._names, scope)):
            await self._app(scope, receive, send)


class WSGIUsageContextMiddleware:
    """WSGI: the application, and the answer that the server reads from it later, have the request's context.

    Args:
        app: the application.
        names: what a request's environ says, as the arguments of `usage_context`; see `UsageContextMiddleware`.
    """

    def __init__(self, app: WSGI, names: Callable[[dict[str, Any]], Names] | None = None) -> None:
        self._app = app
        self._names = names

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        with request_context(_context_of(self._names, environ)):
            response = self._app(environ, start_response)
            if isinstance(response, list | tuple):
                return response
            return _Response(response)


class _Response:
    """An answer that is made while the server reads it: in the context of its request."""

    def __init__(self, response: Iterable[bytes]) -> None:
        self._response = response
        self._context = copy_context()

    def __iter__(self) -> Iterator[bytes]:
        items = self._context.run(iter, self._response)
        while True:
            try:
                item = self._context.run(next, items)
            except StopIteration:
                return
            yield item

    def close(self) -> None:
        close = getattr(self._response, "close", None)
        if close is not None:
            self._context.run(close)


def _context_of(names: Callable[[Any], Names] | None, request: Any) -> Context:
    """Return what a request says of itself; a fault in that is logged, and the request goes on."""
    if names is None:
        return Context()
    try:
        values = {name: value for name, value in (names(request) or {}).items() if value is not None}
    except Exception:
        log.exception("the tenant of a request could not be determined")
        return Context()
    unknown = sorted(str(name) for name in values if name not in _KNOWN)
    if unknown:
        log.error("unknown usage context names ignored: %s", ", ".join(unknown))
    if not isinstance(values.get("metadata", {}), Mapping):
        log.error("a usage context's metadata is %s, not a mapping: ignored", type(values.pop("metadata")).__name__)
    return Context(**{name: value for name, value in values.items() if name in _KNOWN})
