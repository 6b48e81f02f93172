"""Cloudflare's GraphQL API, as far as R2's analytics go: requests by action and what buckets held, within a span of time.

A query is not interpreted: which data sets it names is looked for, and its variables (account, since, until, limit) say the rest. What is
older than 31 days is refused. Errors come as 200 with `errors`, but for a wrong token.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from sandbox import views
from sandbox.dataset import DECODER, ENCODER
from sandbox.lists import Record
from sandbox.state import CLOUDFLARE_ACCOUNT_ID, CLOUDFLARE_API_TOKEN, State
from sandbox.times import DAY, iso, parse_moment

PREFIX = "/client/v4"
KEPT_DAYS = 31
LARGEST_LIMIT = 10_000
MESSAGES = {
    401: "Authentication error",
    403: "Authentication error",
    429: "Rate limited. Please wait and consider throttling your request speed",
    500: "Internal server error",
}
OPERATION_DIMENSIONS = ("bucketName", "actionType", "actionStatus", "responseStatusCode")
HELD = ("payloadSize", "metadataSize", "objectCount", "uploadCount")


class Refused(Exception):
    """A query that is answered with an error. ``code`` is the one in its extensions."""

    def __init__(self, message: str, code: str) -> None:
        super().__init__(message)
        self.code = code


def error_body(status: int) -> Record:
    """The REST envelope, in which failures come that never reach GraphQL."""
    code = {401: 10000, 403: 10000, 429: 971}.get(status, 10001)
    return {
        "success": False,
        "errors": [{"code": code, "message": MESSAGES.get(status, "The request failed.")}],
        "messages": [],
        "result": None,
    }


def graphql_error(message: str, code: str) -> Record:
    return {
        "data": None,
        "errors": [{"message": message, "path": ["viewer"], "extensions": {"code": code, "timestamp": iso(0)}}],
    }


def answer(value: Any, status: int = 200) -> Response:
    return Response(ENCODER.encode(value), status, {"cf-ray": "sandbox"}, media_type="application/json")


class Cloudflare:
    """The routes over one state."""

    def __init__(self, state: State) -> None:
        self.state = state

    def routes(self) -> list[Route]:
        return [Route(PREFIX + "/graphql", self.graphql, methods=["POST"])]

    async def graphql(self, request: Request) -> Response:
        if request.headers.get("authorization") != f"Bearer {CLOUDFLARE_API_TOKEN}":
            return answer(error_body(403), 403)
        try:
            body = DECODER.decode(await request.body())
            query, variables = str(body["query"]), body.get("variables") or {}
        except (msgspec.DecodeError, KeyError, TypeError, AttributeError):
            return answer(graphql_error("invalid request", "parse_error"))
        with self.state.lock:
            try:
                return answer({"data": {"viewer": {"accounts": [self._account(query, variables)]}}, "errors": None})
            except Refused as problem:
                return answer(graphql_error(str(problem), problem.code))

    def _account(self, query: str, variables: Record) -> Record:
        if variables.get("account") != CLOUDFLARE_ACCOUNT_ID:
            raise Refused("not authorized for that account", "authz")
        since, until = self._moment(variables, "since"), self._moment(variables, "until")
        now = self.state.now.timestamp()
        if since < now - KEPT_DAYS * DAY:
            raise Refused(f"cannot request data older than {KEPT_DAYS * DAY}s", "budget")
        limit = variables.get("limit")
        if not isinstance(limit, int) or not 1 <= limit <= LARGEST_LIMIT:
            raise Refused(f"limit must be a positive number and not greater than {LARGEST_LIMIT}", "limit")
        sets: dict[str, Callable[[float, float, float], list[Record]]] = {
            "r2OperationsAdaptiveGroups": self._operations,
            "r2StorageAdaptiveGroups": self._storage,
        }
        return {name: groups(since, until, now)[:limit] for name, groups in sets.items() if name in query}

    def _moment(self, variables: Record, name: str) -> float:
        try:
            return datetime.fromisoformat(variables[name]).timestamp()
        except (KeyError, TypeError, ValueError):
            raise Refused(f"{name}: invalid DateTime", "parse_error") from None

    def _within(self, name: str, since: float, until: float, now: float) -> list[Record]:
        return [
            shown
            for record in getattr(self.state.dataset, name)
            if since <= parse_moment(record["datetime"]) <= until
            and (shown := views.measured_at(record, now)) is not None
        ]

    def _operations(self, since: float, until: float, now: float) -> list[Record]:
        sums: dict[tuple[Any, ...], int] = {}
        for record in self._within("r2_operations", since, until, now):
            key = tuple(record.get(name) for name in OPERATION_DIMENSIONS)
            # A wrong type is passed on as it is given, on purpose.
            sums[key] = sums[key] + record["requests"] if key in sums else record["requests"]
        return [
            {"sum": {"requests": requests}, "dimensions": dict(zip(OPERATION_DIMENSIONS, key, strict=True))}
            for key, requests in sums.items()
        ]

    def _storage(self, since: float, until: float, now: float) -> list[Record]:
        return [
            {
                "max": {name: record.get(name) for name in HELD},
                "dimensions": {"bucketName": record["bucketName"], "datetime": record["datetime"]},
            }
            for record in self._within("r2_storage", since, until, now)
        ]
