"""Who and what for: the attribution that calls inside a `with usage_context(…)` carry, per thread and per async task."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field, fields
from typing import Any


@dataclass(frozen=True)
class Context:
    """What a caller has said so far; None where nothing was said."""

    tenant_id: str | None = None
    feature: str | None = None
    activity: str | None = None
    lead_id: str | None = None
    message_id: str | None = None
    flow_execution_id: str | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)


_current: ContextVar[Context] = ContextVar("usage_context", default=Context())  # noqa: B039 - frozen
_NAMES = tuple(item.name for item in fields(Context) if item.name != "metadata")


def current() -> Context:
    """Return what the enclosing contexts say together."""
    return _current.get()


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

    Contexts nest: what an inner one names wins, metadata are merged. Safe with threads (each begins empty) and with
    async code (a task inherits the context that it was created in).
    """
    outer = _current.get()
    given = {
        "tenant_id": tenant_id,
        "feature": feature,
        "activity": activity,
        "lead_id": lead_id,
        "message_id": message_id,
        "flow_execution_id": flow_execution_id,
    }
    inner = Context(
        **{name: getattr(outer, name) if given[name] is None else given[name] for name in _NAMES},
        metadata={**outer.metadata, **(metadata or {})},
    )
    _current.set(inner)
    try:
        yield inner
    finally:
        # Set back, not reset: an async generator may be finished in another context than it began in.
        _current.set(outer)
