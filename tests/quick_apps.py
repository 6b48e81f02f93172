"""What FastAPI reads of a function's signature is read once per process, not for each application that a test starts.

An application's first request makes it look at all of its routes: a fifth of a second of CPU time, in a thousand tests. What it finds
follows from the function alone, and requests only read it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from fastapi import params, routing

found: dict[tuple[Any, ...], Any] = {}
build = routing._build_dependant_with_parameterless_dependencies


def build_once(*, path: str, call: Callable[..., Any], dependencies: Sequence[params.Depends]) -> Any:
    """As FastAPI's own, of this process's first time."""
    key = (path, call, *dependencies)
    if key not in found:
        found[key] = build(path=path, call=call, dependencies=dependencies)
    return found[key]


def share_signatures() -> None:
    """Let FastAPI ask `build_once` from here on."""
    routing._build_dependant_with_parameterless_dependencies = build_once
