"""Who and what for: the attribution that calls inside a `with usage_context(…)` carry, per thread and per async task."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field, fields
from typing import Any


@dataclass(frozen=True)
class Context:
    """What a caller has set so far; None where nothing is set."""

    tenant_id: str | None = None
    feature: str | None = None
    activity: str | None = None
    lead_id: str | None = None
    message_id: str | None = None
    flow_execution_id: str | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)


class _Request:
    """What is known of the request that is being handled: one object, seen by all threads and tasks that handle it."""

    def __init__(self, context: Context) -> None:
        self.context = context


NOTHING = Context()
_current: ContextVar[Context] = ContextVar("usage_context", default=NOTHING)
_request: ContextVar[_Request | None] = ContextVar("usage_request", default=None)
NAMES = tuple(item.name for item in fields(Context) if item.name != "metadata")


def current() -> Context:
    """Return what the enclosing contexts say together."""
    request = _request.get()
    return _current.get() if request is None else _merged(request.context, _current.get())


def _merged(outer: Context, inner: Context) -> Context:
    """Return both; what the inner one names wins, metadata are merged."""
    return Context(
        **{name: value if (value := getattr(inner, name)) is not None else getattr(outer, name) for name in NAMES},
        metadata={**outer.metadata, **inner.metadata},
    )


def freeze() -> Context:
    """Keep here what is set now, whatever is set for the request later; return it."""
    context = current()
    _current.set(context)
    _request.set(None)
    return context


@contextmanager
def entered(context: Context) -> Iterator[Context]:
    """Put ``context`` in the place of the context here."""
    outer, request = _current.get(), _request.get()
    _current.set(context)
    _request.set(None)
    try:
        yield context
    finally:
        _current.set(outer)
        _request.set(request)


@contextmanager
def request_context(context: Context) -> Iterator[None]:
    """Handle one request inside, of which `set_usage_context` may tell more, from whichever of its threads or tasks."""
    outer, request = _current.get(), _request.get()
    _request.set(_Request(_merged(current(), context)))
    _current.set(Context())
    try:
        yield
    finally:
        _current.set(outer)
        _request.set(request)


def set_usage_context(
    *,
    tenant_id: str | None = None,
    feature: str | None = None,
    activity: str | None = None,
    lead_id: str | None = None,
    message_id: str | None = None,
    flow_execution_id: str | None = None,
    metadata: Mapping[str, Any] | None = None,
) -> None:
    """Say whose usage the rest of the request is: its handler, background tasks and streamed answer, in any thread.

    For where a `with usage_context(…)` would end too early or stay in its own thread, as in a framework's dependency. What
    is not named stays as it was; an inner `usage_context` wins.

    Raises:
        RuntimeError: no request is being handled here: the middleware is missing.
    """
    request = _request.get()
    if request is None:
        raise RuntimeError("no request is being handled here: add UsageContextMiddleware to the application")
    context = Context(tenant_id, feature, activity, lead_id, message_id, flow_execution_id, metadata or {})
    request.context = _merged(request.context, context)


@contextmanager
def usage_context(
    *,
    tenant_id: str | None = None,
    feature: str | None = None,
    activity: str | None = None,
    lead_id: str | None = None,
    message_id: str | None = None,
    flow_execution_id: str | None = None,
    metadata: Mapping[str, Any] | None = None,
) -> Iterator[Context]:
    """Attribute every tracked call inside to this tenant, feature, … .

    Contexts nest: what an inner one names wins, metadata are merged. Safe with threads (each begins empty: see
    `carry_context`) and with async code (a task inherits the context that it was created in).
    """
    outer = _current.get()
    context = Context(tenant_id, feature, activity, lead_id, message_id, flow_execution_id, metadata or {})
    inner = _merged(outer, context)
    _current.set(inner)
    try:
        yield current()
    finally:
        # Set back, not reset: an async generator may be finished in another context than it began in.
        _current.set(outer)
