"""`/metrics` for Prometheus: requests by route template, method and status. Never by tenant."""

from __future__ import annotations

from time import perf_counter

from fastapi import FastAPI
from fastapi.responses import PlainTextResponse, Response
from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    GCCollector,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    Summary,
    generate_latest,
)
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

NOT_COUNTED = ("/metrics", "/healthz", "/readyz")
DOCS = "/docs"
UNROUTED = "none"
# Of all routes together many steps, of each route few: each is a series.
FINE_SECONDS = (
    *(0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 1.5, 2, 2.5, 3, 3.5, 4, 4.5, 5, 7.5, 10, 30, 60),
    float("inf"),
)
COARSE_SECONDS = (0.1, 0.5, 1, float("inf"))


class RequestCounts:
    """What is counted of requests, in one registry."""

    def __init__(self, registry: CollectorRegistry) -> None:
        by_handler = ["handler"]
        self._requests = Counter(
            "http_requests_total",
            "Total number of requests by method, status and handler.",
            ["method", "status", "handler"],
            registry=registry,
        )
        self._received = Summary(
            "http_request_size_bytes", "Content length of requests by handler.", by_handler, registry=registry
        )
        self._sent = Summary(
            "http_response_size_bytes", "Content length of answers by handler.", by_handler, registry=registry
        )
        self._fine = Histogram(
            "http_request_duration_highr_seconds",
            "Latency of all requests, in many buckets.",
            buckets=FINE_SECONDS,
            registry=registry,
        )
        self._coarse = Histogram(
            "http_request_duration_seconds",
            "Latency by method and handler, in few buckets.",
            ["method", "handler"],
            buckets=COARSE_SECONDS,
            registry=registry,
        )

    def count(self, method: str, handler: str, status: int, received: int, sent: int, seconds: float) -> None:
        """Count one request; sizes are in bytes."""
        self._requests.labels(method, str(status), handler).inc()
        self._received.labels(handler).observe(received)
        self._sent.labels(handler).observe(sent)
        self._fine.observe(seconds)
        self._coarse.labels(method, handler).observe(seconds)


class CountRequests:
    """Counts what passes, under the route that took it: asked afterwards, no path is matched twice."""

    def __init__(self, app: ASGIApp, counts: RequestCounts) -> None:
        self.app = app
        self._counts = counts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        started = perf_counter()
        status, sent = 500, 0
        root = str(scope.get("root_path", ""))

        async def watched(message: Message) -> None:
            nonlocal status, sent
            if message["type"] == "http.response.start":
                status, sent = int(message["status"]), _length(Headers(raw=message["headers"]))
            await send(message)

        try:
            await self.app(scope, receive, watched)
        finally:
            handler = _handler(scope, root)
            if handler not in NOT_COUNTED and not handler.startswith(DOCS):
                received = _length(Headers(scope=scope))
                self._counts.count(scope["method"], handler, status, received, sent, perf_counter() - started)


def _handler(scope: Scope, root: str) -> str:
    """Return the template of the route, or the path of the mount, that has taken the request.

    Args:
        root: the root path before routing: a mount has added its own.
    """
    route = scope.get("route")
    if route is None and (endpoint := scope.get("endpoint")) is not None:
        # FastAPI names its own routes only; the document's is one of Starlette's.
        route = next((each for each in scope["app"].routes if getattr(each, "endpoint", None) is endpoint), None)
    return getattr(route, "path", None) or str(scope.get("root_path", ""))[len(root) :] or UNROUTED


def _length(headers: Headers) -> int:
    text = headers.get("content-length", "")
    return int(text) if text.isdecimal() else 0


def install(app: FastAPI) -> CollectorRegistry:
    """Count the application's requests and expose the counts; return where an application may count more."""
    # A registry of its own: two applications in one process (tests, say) do not add up.
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    PlatformCollector(registry=registry)
    GCCollector(registry=registry)
    app.add_middleware(CountRequests, counts=RequestCounts(registry))

    @app.get("/metrics", tags=["Health"], summary="Metrics", response_class=PlainTextResponse)
    def metrics() -> Response:
        """Endpoint that serves Prometheus metrics."""
        return Response(generate_latest(registry), headers={"Content-Type": CONTENT_TYPE_LATEST})

    return registry
