"""Anthropic's Messages API: messages (streamed or whole), token counts and batches, as the vendor documents them.

A token is four characters of the prompt or one piece of the answer, as in `openai_replies`. What ends with ``cache_control`` is
written to the cache (for five minutes, or the hour that ``ttl`` asks for) and read from it by whoever sends it again in that time. A web search tool
that is offered is used once. A batch is done when it is made.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import secrets
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from sandbox.dataset import ENCODER
from sandbox.lists import Record
from sandbox.openai_replies import WORDS, sample, text_of
from sandbox.state import State

PREFIX = "/v1/messages"
MODELS = "claude-"
LIVES = {"5m": timedelta(minutes=5), "1h": timedelta(hours=1)}
BATCHES_KEPT = 1000
JSON_DECODER = msgspec.json.Decoder()
_ERRORS = {
    400: ("invalid_request_error", "The request is not valid."),
    401: ("authentication_error", "invalid x-api-key"),
    403: ("permission_error", "Your API key does not have permission to use the specified resource."),
    404: ("not_found_error", "Not found"),
    413: ("request_too_large", "Request exceeds the maximum size"),
    429: ("rate_limit_error", "This request would exceed your organization's rate limit."),
    529: ("overloaded_error", "Overloaded"),
}


def is_anthropic(path: str) -> bool:
    """Whether a path is of this vendor's. OpenAI has an organization, Anthropic organizations."""
    return path == PREFIX or path.startswith((PREFIX + "/", "/v1/organizations/"))


def key_of(request: Request) -> str:
    """The key that a request comes with, in either of the vendor's headers."""
    return request.headers.get("x-api-key") or request.headers.get("authorization", "").partition(" ")[2]


def error_body(status: int, message: str | None = None) -> Record:
    """What Anthropic says with `status`."""
    kind, usual = _ERRORS.get(status, ("api_error", "Internal server error"))
    return {"type": "error", "error": {"type": kind, "message": message or usual}, "request_id": _request_id()}


class Refused(Exception):
    """A request that Anthropic answers with an error."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


@dataclass
class Answer:
    """One message: its pieces (a token each) or the call of a tool, and its usage."""

    model: str
    pieces: list[str]
    is_cut: bool
    usage: Record
    tool: str | None = None
    searches: int = 0
    identity: str = field(default_factory=lambda: f"msg_{secrets.token_hex(12)}")

    @property
    def text(self) -> str:
        return "".join(self.pieces)

    @property
    def stop_reason(self) -> str:
        return "max_tokens" if self.is_cut else "end_turn" if self.tool is None else "tool_use"

    def blocks(self) -> list[Record]:
        """The content."""
        found: list[Record] = []
        for number in range(self.searches):
            search = f"srvtoolu_{self.identity}_{number}"
            asked = {"query": "sandbox"}
            found += [
                {"type": "server_tool_use", "id": search, "name": "web_search", "input": asked},
                {"type": "web_search_tool_result", "tool_use_id": search, "content": []},
            ]
        if self.tool is None:
            return [*found, {"type": "text", "text": self.text, "citations": None}]
        given = json.loads(self.text) if not self.is_cut else {}
        return [*found, {"type": "tool_use", "id": f"toolu_{self.identity}", "name": self.tool, "input": given}]

    def message(self) -> Record:
        """`message`, whole."""
        return {**self._head(), "content": self.blocks(), "stop_reason": self.stop_reason, "usage": self.usage}

    def _head(self) -> Record:
        return {
            "id": self.identity,
            "type": "message",
            "role": "assistant",
            "model": self.model,
            "content": [],
            "stop_reason": None,
            "stop_sequence": None,
        }

    def events(self) -> Iterator[Record]:
        """The events of the streamed message."""
        begun = {**self.usage, "output_tokens": 1, "server_tool_use": None}
        yield {"type": "message_start", "message": {**self._head(), "usage": begun}}
        yield {"type": "ping"}
        for index, block in enumerate(self.blocks()):
            empty: Record = {"text": {"text": ""}, "tool_use": {"input": {}}, "server_tool_use": {"input": {}}}
            yield {"type": "content_block_start", "index": index, "content_block": block | empty.get(block["type"], {})}
            kind = {"text": "text", "tool_use": "partial_json"}.get(block["type"])
            for piece in self.pieces if kind else ():
                delta = {"type": "text_delta" if kind == "text" else "input_json_delta", kind: piece}
                yield {"type": "content_block_delta", "index": index, "delta": delta}
            if block["type"] == "server_tool_use":
                delta = {"type": "input_json_delta", "partial_json": json.dumps(block["input"])}
                yield {"type": "content_block_delta", "index": index, "delta": delta}
            yield {"type": "content_block_stop", "index": index}
        told = (
            "input_tokens",
            "cache_creation_input_tokens",
            "cache_read_input_tokens",
            "output_tokens",
            "server_tool_use",
        )
        yield {
            "type": "message_delta",
            "delta": {"stop_reason": self.stop_reason, "stop_sequence": None},
            "usage": {name: self.usage[name] for name in told},
        }
        yield {"type": "message_stop"}


class Anthropic:
    """The routes over one state."""

    def __init__(self, state: State) -> None:
        self.state = state
        self._cached: dict[str, datetime] = {}
        self._batches: OrderedDict[str, tuple[Record, list[Record]]] = OrderedDict()

    def routes(self) -> list[Route]:
        return [
            Route(PREFIX, self._guard(self.create), methods=["POST"]),
            Route(PREFIX + "/count_tokens", self._guard(self.count), methods=["POST"]),
            Route(PREFIX + "/batches", self._guard(self.make_batch), methods=["POST"]),
            Route(PREFIX + "/batches/{batch_id}", self._guard(self.fetch_batch), methods=["GET"]),
            Route(PREFIX + "/batches/{batch_id}/results", self._guard(self.results), methods=["GET"]),
        ]

    def _guard(self, endpoint: Callable[[Request, Record], Response]) -> Callable[[Request], Any]:
        async def guarded(request: Request) -> Response:
            key = key_of(request)
            if not key.startswith("sk-ant-") or key.startswith("sk-ant-admin"):
                return answer(error_body(401), 401)
            content = await request.body()
            try:
                body = JSON_DECODER.decode(content) if content else {}
                if not isinstance(body, dict):
                    raise Refused(400, "The request body is not valid JSON.")
                with self.state.lock:
                    return endpoint(request, body)
            except msgspec.DecodeError:
                return answer(error_body(400, "The request body is not valid JSON."), 400)
            except Refused as problem:
                return answer(error_body(problem.status, str(problem)), problem.status)

        return guarded

    def create(self, request: Request, body: Record) -> Response:
        found = self._answer_to(body)
        if not body.get("stream"):
            return answer(found.message(), 200)
        lines = [f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode() for event in found.events()]

        async def told() -> AsyncIterator[bytes]:
            for line in lines:
                yield line
                await asyncio.sleep(0)  # lets a client that goes away be noticed

        headers = {"request-id": _request_id(), "cache-control": "no-cache"}
        return StreamingResponse(told(), 200, headers, media_type="text/event-stream")

    def count(self, request: Request, body: Record) -> Response:
        _check(body, "model", "messages")
        return answer({"input_tokens": sum(tokens for tokens, _, _ in _parts(body))}, 200)

    def make_batch(self, request: Request, body: Record) -> Response:
        _check(body, "requests")
        identity, at = f"msgbatch_{secrets.token_hex(12)}", self.state.now
        lines: list[Record] = []
        for entry in body["requests"]:
            try:
                result = {"type": "succeeded", "message": self._answer_to(entry["params"], is_batch=True).message()}
            except Refused as problem:
                result = {"type": "errored", "error": error_body(problem.status, str(problem))}
            lines.append({"custom_id": entry["custom_id"], "result": result})
        done = sum(line["result"]["type"] == "succeeded" for line in lines)
        batch = {
            "id": identity,
            "type": "message_batch",
            "processing_status": "ended",
            "request_counts": {
                **dict.fromkeys(("processing", "canceled", "expired"), 0),
                "succeeded": done,
                "errored": len(lines) - done,
            },
            "created_at": at.isoformat(),
            "ended_at": at.isoformat(),
            "expires_at": (at + timedelta(days=1)).isoformat(),
            "archived_at": None,
            "cancel_initiated_at": None,
            "results_url": f"{request.base_url}{PREFIX[1:]}/batches/{identity}/results",
        }
        self._batches[identity] = batch, lines
        while len(self._batches) > BATCHES_KEPT:
            self._batches.popitem(last=False)
        return answer(batch, 200)

    def fetch_batch(self, request: Request, body: Record) -> Response:
        return answer(self._batch(request)[0], 200)

    def results(self, request: Request, body: Record) -> Response:
        lines = b"".join(ENCODER.encode(line) + b"\n" for line in self._batch(request)[1])
        return Response(lines, 200, {"request-id": _request_id()}, media_type="application/x-jsonl")

    def _batch(self, request: Request) -> tuple[Record, list[Record]]:
        found = self._batches.get(request.path_params["batch_id"])
        if found is None:
            raise Refused(404, "message batch not found")
        return found

    def _answer_to(self, body: Mapping[str, Any], *, is_batch: bool = False) -> Answer:
        _check(body, "model", "messages", "max_tokens")
        model = str(body["model"])
        if not model.startswith(MODELS):
            raise Refused(404, f"model: {model}")
        offered = [tool for tool in body.get("tools") or () if "input_schema" in tool]
        choice = body.get("tool_choice") or {}
        called = [tool for tool in offered if choice.get("type") == "any" or choice.get("name") == tool["name"]]
        schema = ((body.get("output_config") or {}).get("format") or {}).get("schema")
        fits = called[0]["input_schema"] if called else schema
        if fits:
            whole = json.dumps(sample(fits))
            pieces = [whole[at : at + 4] for at in range(0, len(whole), 4)]
        else:
            asked = text_of(body["messages"]).encode()
            length = 8 + hashlib.sha256(asked).digest()[0] % (len(WORDS) - 8)
            pieces = [word if number == 0 else f" {word}" for number, word in enumerate(WORDS[:length])]
        most = int(body["max_tokens"])
        searches = sum(str(tool.get("type")).startswith("web_search") for tool in body.get("tools") or ())
        usage = self._input(body)
        usage |= {
            "output_tokens": min(len(pieces), most),
            "server_tool_use": {"web_search_requests": searches, "web_fetch_requests": 0} if searches else None,
            "service_tier": "batch" if is_batch else "standard",
            "inference_geo": "global",
        }
        if body.get("speed"):
            usage["speed"] = body["speed"]
        return Answer(model, pieces[:most], len(pieces) > most, usage, called[0]["name"] if called else None, searches)

    def _input(self, body: Mapping[str, Any]) -> Record:
        fresh = read = 0
        written = dict.fromkeys(LIVES, 0)
        pending, prefix = 0, hashlib.sha256(str(body["model"]).encode())
        for tokens, text, control in _parts(body):
            pending += tokens
            prefix.update(text.encode())
            if control is None:
                continue
            life = str(control.get("ttl") or "5m")
            if life not in LIVES:
                raise Refused(400, "cache_control.ttl: Input should be '5m' or '1h'")
            key, now = prefix.hexdigest(), self.state.now
            if key in self._cached and self._cached[key] > now:
                read += pending
            else:
                written[life] += pending
            self._cached[key] = now + LIVES[life]
            pending = 0
        fresh += pending
        return {
            "input_tokens": fresh,
            "cache_creation_input_tokens": sum(written.values()),
            "cache_read_input_tokens": read,
            "cache_creation": {f"ephemeral_{life}_input_tokens": tokens for life, tokens in written.items()},
        }


def _parts(body: Mapping[str, Any]) -> Iterator[tuple[int, str, Mapping[str, Any] | None]]:
    """The parts of a prompt in the order in which they are cached: tokens, text, and what ``cache_control`` says of it."""
    said = body.get("system") or []
    parts: list[Any] = [*(body.get("tools") or ()), *([said] if isinstance(said, str) else said)]
    for turn in body["messages"]:
        content = turn.get("content") or ""
        parts += [content] if isinstance(content, str) else content
    for part in parts:
        control = part.get("cache_control") if isinstance(part, Mapping) else None
        text = part if isinstance(part, str) else text_of({k: v for k, v in part.items() if k != "cache_control"})
        yield -(-len(text) // 4), text, control


def _check(body: Mapping[str, Any], *names: str) -> None:
    for name in names:
        if body.get(name) in (None, "", []):
            raise Refused(400, f"{name}: Field required")


def _request_id() -> str:
    return f"req_{secrets.token_hex(12)}"


def answer(body: Record, status: int) -> Response:
    return Response(ENCODER.encode(body), status, {"request-id": _request_id()}, media_type="application/json")
