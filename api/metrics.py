"""`/metrics` for Prometheus: requests by route template, method and status. Never by tenant."""

from __future__ import annotations

from fastapi import FastAPI
from fastapi.responses import PlainTextResponse
from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector
from prometheus_fastapi_instrumentator import Instrumentator


def install(app: FastAPI) -> CollectorRegistry:
    """Count the application's requests and expose the counts; return where an application may count more."""
    # A registry of its own: two applications in one process (tests, say) do not add up.
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    PlatformCollector(registry=registry)
    GCCollector(registry=registry)
    instrumentator = Instrumentator(
        should_group_status_codes=False,
        excluded_handlers=["^/metrics$", "^/healthz$", "^/readyz$", "^/docs"],
        registry=registry,
    )
    instrumentator.instrument(app).expose(app, tags=["Health"], summary="Metrics", response_class=PlainTextResponse)
    return registry
