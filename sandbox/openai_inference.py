"""OpenAI's paid endpoints: chat completions and responses (streamed or whole) and embeddings; what they use is in the
buckets and the costs of the day afterwards.

A key `sk-<project id>` belongs to that project, any other one to the first; `OpenAI-Project` chooses another. What a
client that goes away has not read is not counted.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import secrets
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from decimal import Decimal
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route
from starlette.types import Send

from sandbox import openai_replies as replies
from sandbox.dataset import ENCODER
from sandbox.generate.openai import MILLION, PRICES
from sandbox.lists import Record
from sandbox.openai import COMPLETIONS, EMBEDDINGS, PREFIX, Refused, error_body
from sandbox.openai_replies import Reply
from sandbox.state import State
from sandbox.times import day_of

DEFAULT_PROJECT = "proj_sandbox"
RESPONSES_KEPT = 1000
JSON_DECODER = msgspec.json.Decoder()  # numbers as they are: a temperature is not money


class _NotFound(Exception):
    """A model or a response that there is not."""

    def __init__(self, message: str, code: str | None = None) -> None:
        super().__init__(message)
        self.code = code


class Sender:
    """Who asks: the project that is charged and the key that it is charged through."""

    def __init__(self, project: str, key: str) -> None:
        self.project = project
        self.api_key_id = "key_" + hashlib.sha256(key.encode()).hexdigest()[:16]

    def headers(self) -> dict[str, str]:
        return {
            "x-request-id": f"req_{secrets.token_hex(16)}",
            "openai-organization": "org-sandbox",
            "openai-project": self.project,
            "openai-version": "2020-10-01",
            "openai-processing-ms": "12",
            "x-ratelimit-limit-requests": "10000",
            "x-ratelimit-remaining-requests": "9999",
            "x-ratelimit-reset-requests": "6ms",
        }


class Inference:
    """The routes over one state."""

    def __init__(self, state: State) -> None:
        self.state = state
        self._responses: OrderedDict[str, Record] = OrderedDict()

    def routes(self) -> list[Route]:
        return [
            Route(PREFIX + "/chat/completions", self._guard(self.chat), methods=["POST"]),
            Route(PREFIX + "/responses", self._guard(self.respond), methods=["POST"]),
            Route(PREFIX + "/responses/{response_id}", self._guard(self.fetch_response), methods=["GET"]),
            Route(PREFIX + "/embeddings", self._guard(self.embed), methods=["POST"]),
        ]

    def _guard(self, endpoint: Callable[[Request, Record, Sender], Response]) -> Callable[[Request], Any]:
        async def guarded(request: Request) -> Response:
            try:
                sender = self._sender(request)
                if sender is None:
                    return _answer(error_body(401), 401, {})
                content = await request.body()
                body = JSON_DECODER.decode(content) if content else {}
                if not isinstance(body, dict):
                    raise Refused("We could not parse the JSON body of your request.", None)
                with self.state.lock:
                    return endpoint(request, body, sender)
            except msgspec.DecodeError:
                return _answer(error_body(400, "We could not parse the JSON body of your request."), 400, {})
            except Refused as problem:
                return _answer(error_body(400, str(problem), problem.param, problem.code), 400, {})
            except _NotFound as problem:
                return _answer(error_body(404, str(problem), None, problem.code), 404, {})

        return guarded

    def _sender(self, request: Request) -> Sender | None:
        """None where the key is wrong. Raises Refused for an unknown project."""
        scheme, _, key = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not key.startswith("sk-") or key.startswith("sk-admin-"):
            return None
        projects = [str(project["id"]) for project in self.state.dataset.openai_projects] or [DEFAULT_PROJECT]
        wanted = request.headers.get("openai-project")
        if wanted is not None and wanted not in projects:
            raise Refused(f"No such project: {wanted}.", None, "invalid_project")
        own = key.removeprefix("sk-")
        return Sender(wanted or (own if own in projects else projects[0]), key)

    # --- chat completions

    def chat(self, request: Request, body: Record, sender: Sender) -> Response:
        _require(body, "model", "messages")
        _check_model(body)
        form = body.get("response_format") or {}
        most = body.get("max_completion_tokens") or body.get("max_tokens")
        schema = (form.get("json_schema") or {}).get("schema") if form.get("type") == "json_schema" else None
        reply = replies.reply_to(body, most=most, schema=schema, tool=replies.wanted_tool(body))
        identity, created = secrets.token_hex(12), int(self.state.now.timestamp())
        if not body.get("stream"):
            self._charge(sender, reply, None)
            return _answer(replies.chat_completion(reply, identity, created), 200, sender.headers())
        include_usage = bool((body.get("stream_options") or {}).get("include_usage"))
        chunks = replies.chat_chunks(reply, identity, created, include_usage=include_usage)
        return self._stream(((_event(None, chunk), sent) for chunk, sent in chunks), sender, reply, ends_with_done=True)

    # --- responses

    def respond(self, request: Request, body: Record, sender: Sender) -> Response:
        _require(body, "model", "input")
        _check_model(body)
        form = (body.get("text") or {}).get("format") or {}
        schema = form.get("schema") if form.get("type") == "json_schema" else None
        reply = replies.reply_to(
            body, most=body.get("max_output_tokens"), schema=schema, tool=replies.wanted_tool(body)
        )
        identity, created = secrets.token_hex(24), int(self.state.now.timestamp())
        if body.get("stream"):
            events = replies.response_events(body, reply, identity, created)
            lines = ((_event(str(event["type"]), event), sent) for event, sent in events)
            return self._stream(lines, sender, reply, ends_with_done=False)
        self._charge(sender, reply, None)
        whole = replies.response_object(body, reply, identity, created, "incomplete" if reply.is_cut else "completed")
        self._responses[whole["id"]] = whole
        while len(self._responses) > RESPONSES_KEPT:
            self._responses.popitem(last=False)
        if body.get("background"):
            # Done when it is asked for the first time.
            whole = replies.response_object(body, reply, identity, created, "queued")
        return _answer(whole, 200, sender.headers())

    def fetch_response(self, request: Request, body: Record, sender: Sender) -> Response:
        wanted = request.path_params["response_id"]
        if wanted not in self._responses:
            raise _NotFound(f"Response with id '{wanted}' not found.")
        return _answer(self._responses[wanted], 200, sender.headers())

    # --- embeddings

    def embed(self, request: Request, body: Record, sender: Sender) -> Response:
        _require(body, "model", "input")
        _check_model(body)
        given = body["input"]
        texts = given if isinstance(given, list) and not all(isinstance(token, int) for token in given) else [given]
        if not texts or any(text in ("", []) for text in texts):
            raise Refused("'$.input' is invalid. Please check the API reference.", "input")
        tokens = sum(len(text) if isinstance(text, list) else -(-len(str(text)) // 4) for text in texts)
        model = str(body["model"])
        size = body.get("dimensions") or replies.DIMENSIONS.get(model, replies.DEFAULT_DIMENSIONS)
        form = body.get("encoding_format", "float")
        self._charge_embedding(sender, model, tokens)
        data = [
            {"object": "embedding", "index": index, "embedding": replies.embedding(str(text), size, form)}
            for index, text in enumerate(texts)
        ]
        usage = {"prompt_tokens": tokens, "total_tokens": tokens}
        return _answer({"object": "list", "data": data, "model": model, "usage": usage}, 200, sender.headers())

    # --- streaming and charging

    def _stream(
        self, lines: Iterable[tuple[bytes, int]], sender: Sender, reply: Reply, *, ends_with_done: bool
    ) -> Response:
        numbered = [*lines]
        if ends_with_done:
            numbered.append((b"data: [DONE]\n\n", numbered[-1][1]))

        async def body() -> AsyncIterator[bytes]:
            received: int | None = 0
            try:
                for line, sent in numbered[:-1]:
                    yield line
                    received = sent
                    await asyncio.sleep(0)  # lets a client that goes away be noticed
                last, sent = numbered[-1]
                # Before the last line: who has read all of it finds it charged.
                with self.state.lock:
                    self._charge(sender, reply, sent)
                received = None
                yield last
            finally:
                if received is not None:
                    with self.state.lock:
                        self._charge(sender, reply, received)

        headers = {**sender.headers(), "cache-control": "no-cache"}
        return _Stream(body(), 200, headers, media_type="text/event-stream")

    def _charge(self, sender: Sender, reply: Reply, pieces: int | None) -> None:
        """Puts an answer into the buckets and the costs of today: all of it, or its first `pieces`."""
        output = reply.output(pieces)
        fresh = reply.prompt - reply.cached
        sums = dict.fromkeys(COMPLETIONS.sums, 0) | {
            "input_tokens": reply.prompt,
            "input_cached_tokens": reply.cached,
            "input_uncached_tokens": fresh,
            "output_tokens": output,
            "input_text_tokens": fresh,
            "output_text_tokens": output,
            "input_cached_text_tokens": reply.cached,
            "num_model_requests": 1,
        }
        where = {**self._where(sender), "model": reply.model, "batch": False, "service_tier": reply.service_tier}
        self.state.add_bucket(COMPLETIONS.records, where, sums, {"object": COMPLETIONS.object})
        for kind, tokens in zip(("input", "cached input", "output"), (fresh, reply.cached, output), strict=True):
            self._charge_cost(sender, reply.model, kind, tokens)

    def _charge_embedding(self, sender: Sender, model: str, tokens: int) -> None:
        sums = {"input_tokens": tokens, "num_model_requests": 1}
        self.state.add_bucket(
            EMBEDDINGS.records, {**self._where(sender), "model": model}, sums, {"object": EMBEDDINGS.object}
        )
        self._charge_cost(sender, model, "input", tokens)

    def _where(self, sender: Sender) -> Record:
        return {
            "date": day_of(self.state.now.timestamp()).isoformat(),
            "project_id": sender.project,
            "user_id": "user-sandbox",
            "api_key_id": sender.api_key_id,
        }

    def _charge_cost(self, sender: Sender, model: str, kind: str, tokens: int) -> None:
        """A model without a price in the sandbox costs nothing: as at the provider, costs and usage differ."""
        if not tokens or model not in PRICES:
            return
        price = PRICES[model][("input", "cached input", "output").index(kind)]
        where = {
            "date": day_of(self.state.now.timestamp()).isoformat(),
            "project_id": sender.project,
            "api_key_id": sender.api_key_id,
            "line_item": f"{model}, {kind}",
        }
        fixed = {"object": "organization.costs.result", "quantity_unit": "tokens"}
        record = self.state.add_bucket("openai_costs", where, {"quantity": tokens}, fixed)
        value = (price * record["quantity"] / MILLION).quantize(Decimal("1e-10"))
        record["amount"] = {"value": value, "currency": "usd"}


class _Stream(StreamingResponse):
    """Is charged for at once when its client goes away, not when the garbage collector comes by."""

    async def stream_response(self, send: Send) -> None:
        try:
            await super().stream_response(send)
        finally:
            await self.body_iterator.aclose()  # type: ignore[attr-defined]  # it is a generator


def _answer(body: Record, status: int, headers: dict[str, str]) -> Response:
    headers = headers or {"x-request-id": f"req_{secrets.token_hex(16)}", "openai-version": "2020-10-01"}
    return Response(ENCODER.encode(body), status, headers, media_type="application/json")


def _event(name: str | None, data: Mapping[str, Any]) -> bytes:
    head = "" if name is None else f"event: {name}\n"
    return f"{head}data: {json.dumps(data, separators=(',', ':'))}\n\n".encode()


def _require(body: Mapping[str, Any], *names: str) -> None:
    for name in names:
        if body.get(name) in (None, ""):
            raise Refused(f"Missing required parameter: '{name}'.", name, "missing_required_parameter")


def _check_model(body: Mapping[str, Any]) -> None:
    if not replies.known_model(body["model"]):
        message = f"The model `{body['model']}` does not exist or you do not have access to it."
        raise _NotFound(message, "model_not_found")
