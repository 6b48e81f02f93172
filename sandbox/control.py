"""The sandbox's own endpoints under /_sandbox: clock, faults, records. Not part of any provider's API.

GET /_sandbox (state), GET /_sandbox/environment (exports for a shell), POST /_sandbox/clock {"now": ISO or null}, POST /_sandbox/faults {...} (see `Fault`),
DELETE /_sandbox/faults, PUT /_sandbox/records/{list} (a record or a list of them), DELETE
/_sandbox/records/{list}?field=value, both also with /{sid or id} after the list; PUT
/_sandbox/records/missing_buckets; GET and DELETE /_sandbox/requests.
"""

from __future__ import annotations

import shlex
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from sandbox.dataset import DECODER, ENCODER
from sandbox.lists import IDENTITY
from sandbox.state import State
from sandbox.times import parse_moment

PREFIX = "/_sandbox"


def answer(value: Any, status: int = 200) -> Response:
    return Response(ENCODER.encode(value), status, media_type="application/json")


class Control:
    def __init__(self, state: State) -> None:
        self.state = state

    def routes(self) -> list[Route]:
        return [
            Route(PREFIX, self.show, methods=["GET"]),
            Route(PREFIX + "/environment", self.environment, methods=["GET"]),
            Route(PREFIX + "/clock", self.clock, methods=["POST"]),
            Route(PREFIX + "/faults", self.faults, methods=["GET", "POST", "DELETE"]),
            Route(PREFIX + "/records/{name}", self.records, methods=["PUT", "DELETE"]),
            Route(PREFIX + "/records/{name}/{key}", self.records, methods=["PUT", "DELETE"]),
            Route(PREFIX + "/requests", self.requests, methods=["GET", "DELETE"]),
        ]

    async def environment(self, request: Request) -> Response:
        url = f"{request.url.scheme}://{request.url.netloc}"
        lines = [f"export {name}={shlex.quote(value)}\n" for name, value in self.state.environment(url).items()]
        return Response("".join(lines), media_type="text/plain")

    async def show(self, request: Request) -> Response:
        return answer(self.state.describe())

    async def clock(self, request: Request) -> Response:
        try:
            now = DECODER.decode(await request.body())["now"]
            self.state.set_now(None if now is None else datetime.fromtimestamp(parse_moment(now), UTC))
        except (msgspec.DecodeError, KeyError, TypeError, ValueError) as problem:
            return answer({"error": f'expected {{"now": ISO timestamp or null}}: {problem}'}, 400)
        return answer(self.state.describe())

    async def faults(self, request: Request) -> Response:
        if request.method == "DELETE":
            self.state.faults.clear()
        elif request.method == "POST":
            try:
                values = msgspec.json.decode(await request.body(), type=dict[str, Any])
                return answer(asdict(self.state.faults.add(**values)), 201)
            except (msgspec.DecodeError, TypeError, ValueError) as problem:
                return answer({"error": str(problem)}, 400)
        return answer(self.state.describe()["faults"])

    async def records(self, request: Request) -> Response:
        name, key = request.path_params["name"], request.path_params.get("key")
        try:
            if name not in IDENTITY and (name != "missing_buckets" or request.method != "PUT"):
                raise ValueError(f"{name}: no such list (one of {', '.join(IDENTITY)})")
            if request.method == "DELETE":
                where = dict(request.query_params)
                if key is not None:
                    where[IDENTITY[name][-1]] = key
                return answer({"deleted": self.state.delete(name, **where)})
            body = DECODER.decode(await request.body())
            if name == "missing_buckets":
                self.state.set_missing(body)
                return answer(body)
            records = body if isinstance(body, list) else [body]
            self.state.put(name, *records)
            return answer({"put": len(records)})
        except (msgspec.DecodeError, ValueError) as problem:
            return answer({"error": str(problem)}, 400)

    async def requests(self, request: Request) -> Response:
        if request.method == "DELETE":
            self.state.requests.clear()
        return answer(list(self.state.requests))
