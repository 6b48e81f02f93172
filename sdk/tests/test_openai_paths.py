"""Every way to a paid call is metered and guarded: beta resources, paths with a query, whole bodies, the background."""

from __future__ import annotations

import asyncio
import gzip
import json
from collections.abc import Callable
from typing import Any

import httpx
import httpx2
import openai
import pytest
from openai._models import FinalRequestOptions
from openai.pagination import AsyncPage, SyncPage
from openai.types.responses import ResponseOutputMessage, ResponseOutputText

from usage_metering.context import usage_context
from usage_metering.guard import UsageCapReached
from usage_metering.openai_client import AsyncTrackedOpenAI, TrackedOpenAI
from usage_metering.openai_usage import path_of, response_of
from wrapping import RecordingGuard, RecordingTracker

USAGE = {"input_tokens": 1000, "output_tokens": 500, "total_tokens": 1500}
WHOLE = {"id": "resp_1", "object": "response", "model": "gpt-5-mini", "status": "completed", "output": []}
ASK: Any = {"model": "gpt-5-mini", "input": "x"}
CHAT: Any = {"model": "gpt-4o", "messages": [{"role": "user", "content": "x"}]}

Answers = Callable[[Any], Any]


def events(*chunks: dict[str, Any]) -> bytes:
    return b"".join(f"data: {json.dumps(event)}\n\n".encode() for event in chunks) + b"data: [DONE]\n\n"


class Provider:
    """Answers requests with what ``answer(request)`` makes of them, and remembers their paths."""

    def __init__(self, answer: Answers) -> None:
        self.paths: list[str] = []
        self._answer = answer

    def __call__(self, request: httpx2.Request) -> httpx2.Response:
        self.paths.append(request.url.path)
        found = self._answer(request)
        if isinstance(found, bytes):
            return httpx2.Response(200, headers={"content-type": "text/event-stream"}, content=found)
        return found if isinstance(found, httpx2.Response) else httpx2.Response(200, json=found)

    async def later(self, request: httpx2.Request) -> httpx2.Response:
        return self(request)

    def client(self, **more: Any) -> openai.OpenAI:
        http = openai.DefaultHttpxClient(transport=httpx2.MockTransport(self))
        return openai.OpenAI(api_key="sk-x", http_client=http, max_retries=0, **more)

    def later_client(self) -> openai.AsyncOpenAI:
        http = openai.DefaultAsyncHttpxClient(transport=httpx2.MockTransport(self.later))
        return openai.AsyncOpenAI(api_key="sk-x", http_client=http, max_retries=0)


def whole(request: httpx2.Request) -> dict[str, Any]:
    return {**WHOLE, "usage": USAGE, "answers": [], "data": []}


WAYS: dict[str, Callable[[Any], Any]] = {
    "beta": lambda c: c.beta.responses.create(**ASK),
    "beta, raw": lambda c: c.beta.responses.with_raw_response.create(**ASK),
    "beta, raw of beta": lambda c: c.beta.with_raw_response.responses.create(**ASK),
    "beta, compact": lambda c: c.beta.responses.compact(**ASK),
    "beta, metering": lambda c: c.beta.responses.create(**ASK, metering={"tenant_id": "acme"}),
    "decisions": lambda c: c.decisions.create(**ASK, questions=[]),
    "post, query": lambda c: c.post("/responses?x=1", cast_to=object, body=ASK),
    "post, no slash": lambda c: c.post("responses", cast_to=object, body=ASK),
    "post, slash": lambda c: c.post("/responses/", cast_to=object, body=ASK),
    "post, whole": lambda c: c.post("https://api.openai.com/v1/responses#a", cast_to=object, body=ASK),
    "post, dots": lambda c: c.post("/audio/../responses", cast_to=object, body=ASK),
    "post, dots out of the base": lambda c: c.post("/../v1/./responses", cast_to=object, body=ASK),
    "post, escaped": lambda c: c.post("/r%65sponses", cast_to=object, body=ASK),
    "post, bytes": lambda c: c.post("/responses", cast_to=object, content=json.dumps(ASK).encode()),
    "put": lambda c: c.put("/responses", cast_to=object, body=ASK),
    "patch": lambda c: c.patch("/responses", cast_to=object, body=ASK),
    "list": lambda c: c.get_api_list("/responses", page=page(c), model=object, body=ASK, method="post"),
    "request": lambda c: c.request(object, FinalRequestOptions(method="Post", url="/responses", json_data=ASK)),
    "request, raw": lambda c: c.with_raw_response.responses.create(**ASK),
}


def page(client: Any) -> Any:
    return AsyncPage if isinstance(client, openai.AsyncOpenAI) else SyncPage


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
def test_every_way_is_metered_and_guarded(way: str, is_async: bool) -> None:
    provider, tracker = Provider(whole), RecordingTracker()

    def ask(guard: RecordingGuard) -> None:
        with usage_context(tenant_id="acme"):
            if not is_async:
                WAYS[way](TrackedOpenAI(provider.client(), tracker, guard))
                return

            async def later() -> None:
                await WAYS[way](AsyncTrackedOpenAI(provider.later_client(), tracker, guard))

            asyncio.run(later())

    with pytest.raises(UsageCapReached):
        ask(RecordingGuard(refuses=True))
    assert provider.paths == []
    ask(RecordingGuard())
    assert (tracker.only["units"], tracker.only["input_tokens"], tracker.only["tenant_id"]) == (1500, 1000, "acme")


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("/responses?beta=true", "/responses"),
        ("/responses/compact?beta=true", "/responses/compact"),
        ("https://h/v1/embeddings", "/embeddings"),
        ("https://h/other/embeddings", "/other/embeddings"),
        ("", "/"),
    ],
)
def test_the_path_is_what_is_asked_for(url: str, path: str) -> None:
    assert path_of(url, "https://h/v1/") == path


@pytest.mark.parametrize(
    ("method", "path", "found"),
    [
        ("GET", "/responses/resp_1", "resp_1"),
        ("GET", "/responses/resp_1/input_items", None),
        ("GET", "/responses", None),
        ("POST", "/responses/resp_1/cancel", "resp_1"),
        ("POST", "/responses/compact", None),
        ("GET", "/models/resp_1", None),
    ],
)
def test_which_response_is_asked_about(method: str, path: str, found: str | None) -> None:
    assert response_of(method, path) == found


def test_the_sdks_own_objects_are_measured_as_what_they_say() -> None:
    """An answer that is handed back as input, in every form that is sent."""
    answer = ResponseOutputMessage(
        id="m",
        type="message",
        role="assistant",
        status="completed",
        content=[ResponseOutputText(type="output_text", text="word " * 6000, annotations=[])],
    )
    guard = RecordingGuard()
    tracked = TrackedOpenAI(Provider(whole).client(), RecordingTracker(), guard)
    request: Any = {"model": "gpt-5-mini", "input": [answer], "max_output_tokens": 1}
    with usage_context(tenant_id="acme"):
        tracked.responses.create(**request)
        tracked.responses.create(**{**request, "input": [answer.to_dict()]})
        tracked.post("/responses", cast_to=object, body=request)
    assert all(10_000 < held.units < 10_100 for held in guard.held)
    assert len(guard.held) == 3


# --- transports that hand over whole bodies

HEAD = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "gpt-4o"}
CHUNK = {**HEAD, "choices": [{"index": 0, "delta": {"content": "a"}, "finish_reason": None}]}
COUNTED = {**HEAD, "choices": [], "usage": {"prompt_tokens": 4000, "completion_tokens": 1000, "total_tokens": 5000}}


def streamed_chat(request: Any) -> bytes:
    with_usage = json.loads(request.content).get("stream_options", {}).get("include_usage")
    return events({**CHUNK, "usage": None}, COUNTED) if with_usage else events(CHUNK)


@pytest.mark.parametrize("encoding", ["identity", "gzip"])
def test_a_body_that_is_whole_is_counted_at_once_and_seen_as_by_the_bare_client(encoding: str) -> None:
    def answer(request: httpx2.Request) -> httpx2.Response:
        content = streamed_chat(request)
        content = gzip.compress(content) if encoding == "gzip" else content
        headers = {"content-type": "text/event-stream", "content-encoding": encoding}
        return httpx2.Response(200, headers=headers, content=content)

    provider, tracker = Provider(answer), RecordingTracker()
    expected = list(provider.client().chat.completions.create(**CHAT, stream=True))
    found = TrackedOpenAI(provider.client(), tracker).chat.completions.create(**CHAT, stream=True)
    assert (tracker.only["units"], "metadata" in tracker.only) == (5000, False)
    assert [chunk.to_dict() for chunk in found] == [chunk.to_dict() for chunk in expected]
    assert len(tracker.events) == 1

    async def later() -> list[Any]:
        tracked = AsyncTrackedOpenAI(provider.later_client(), tracker)
        return [chunk async for chunk in await tracked.chat.completions.create(**CHAT, stream=True)]

    assert [chunk.to_dict() for chunk in asyncio.run(later())] == [chunk.to_dict() for chunk in expected]
    assert [event["units"] for event in tracker.events] == [5000, 5000]


def test_the_same_of_the_older_http_library_and_of_an_answer_left_unread() -> None:
    tracker = RecordingTracker()

    def answer(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, headers={"content-type": "text/event-stream"}, content=streamed_chat(request))

    http: Any = httpx.Client(transport=httpx.MockTransport(answer))
    tracked = TrackedOpenAI(openai.OpenAI(api_key="sk-x", http_client=http), tracker)
    assert len(list(tracked.chat.completions.create(**CHAT, stream=True))) == 1
    assert tracker.only["units"] == 5000
    tracker.events.clear()
    zipped = httpx2.Response(
        200,
        headers={"content-encoding": "gzip"},
        content=gzip.compress(json.dumps(whole(None)).encode()),  # type: ignore[arg-type]
    )
    tracked = TrackedOpenAI(Provider(lambda _: zipped).client(), tracker)
    with tracked.responses.with_streaming_response.create(**ASK) as response:
        assert tracker.only["units"] == 1500
        assert response.json()["id"] == "resp_1"


# --- in the background

QUEUED = {**WHOLE, "status": "queued"}
DONE = {**WHOLE, "usage": {"input_tokens": 5000, "output_tokens": 10, "total_tokens": 5010}}
BEGUN = [
    {"type": f"response.{kind}", "sequence_number": at, "response": {**QUEUED, "status": status}}
    for at, (kind, status) in enumerate([("created", "queued"), ("queued", "queued"), ("in_progress", "in_progress")])
]
ENDED = {"type": "response.completed", "sequence_number": 3, "response": DONE}


class Slow(httpx2.SyncByteStream):
    """A stream that ends when it is left."""

    def __iter__(self) -> Any:
        for event in BEGUN:
            yield events(event).partition(b"data: [DONE]")[0]


def background(request: httpx2.Request) -> Any:
    body = json.loads(request.content or b"{}")
    if request.method == "POST" and not request.url.path.endswith("/cancel"):
        return httpx2.Response(200, stream=Slow()) if body.get("stream") else QUEUED
    if request.url.path.endswith("/cancel"):
        return {**DONE, "status": "cancelled"}
    return events(*BEGUN, ENDED) if "stream" in request.url.params else DONE


def read_some(client: Any) -> None:
    stream = client.responses.create(**ASK, background=True, stream=True)
    for _ in range(2):
        next(stream)
    stream.close()


def put_off(client: Any) -> None:
    client.responses.create(**ASK, background=True)


def streamed(client: Any) -> None:
    with client.responses.stream(response_id="resp_1") as stream:
        stream.until_done()


FETCHES: dict[str, Callable[[Any], Any]] = {
    "retrieve": lambda c: c.responses.retrieve("resp_1"),
    "retrieve, beta": lambda c: c.beta.responses.retrieve("resp_1"),
    "retrieve, raw": lambda c: c.responses.with_raw_response.retrieve("resp_1"),
    "retrieve, unread": lambda c: c.responses.with_streaming_response.retrieve("resp_1").__enter__().read(),
    "retrieve, stream": lambda c: list(c.responses.retrieve("resp_1", stream=True)),
    "stream helper": streamed,
    "cancel": lambda c: c.responses.cancel("resp_1"),
    "cancel, beta": lambda c: c.beta.responses.cancel("resp_1"),
}


@pytest.mark.parametrize("begin", [read_some, put_off])
@pytest.mark.parametrize("fetch", FETCHES)
def test_what_was_put_off_is_counted_when_its_usage_is_known(fetch: str, begin: Callable[[Any], None]) -> None:
    tracker, guard = RecordingTracker(), RecordingGuard()
    tracked = TrackedOpenAI(Provider(background).client(), tracker, guard)
    with usage_context(tenant_id="acme"):
        begin(tracked)
    assert tracker.events == []
    assert guard.only.outcome == "held"
    for _ in range(2):
        FETCHES[fetch](tracked.with_options(timeout=9))
    assert (tracker.only["units"], tracker.only["tenant_id"], tracker.only["external_id"]) == (5010, "acme", "resp_1")
    assert (guard.only.outcome, guard.only.settlement) == ("settled", ("resp_1", 5010))


def test_the_async_client_counts_what_was_put_off_too() -> None:
    tracker = RecordingTracker()

    async def fetch() -> None:
        tracked = AsyncTrackedOpenAI(Provider(background).later_client(), tracker)
        for again in range(3):
            await tracked.responses.create(**ASK, background=True)
            if again == 0:
                await tracked.responses.cancel("resp_1")
            elif again == 1:
                async for _ in await tracked.responses.retrieve("resp_1", stream=True):
                    pass
            else:
                await tracked.responses.retrieve("resp_1")

    asyncio.run(fetch())
    assert [event["units"] for event in tracker.events] == [5010] * 3


@pytest.mark.parametrize("status", ["cancelled", "failed"])
def test_what_ended_without_usage_gives_its_room_back(status: str) -> None:
    tracker, guard = RecordingTracker(), RecordingGuard()
    ended = {**WHOLE, "status": status}
    tracked = TrackedOpenAI(
        Provider(lambda r: QUEUED if r.url.path == "/v1/responses" else ended).client(), tracker, guard
    )
    with usage_context(tenant_id="acme"):
        put_off(tracked)
        tracked.responses.cancel("resp_1")
    assert (tracker.events, guard.only.outcome) == ([], "released")


def test_a_fetch_that_fails_leaves_it_to_the_next_one() -> None:
    tracker, guard = RecordingTracker(), RecordingGuard()
    answers = [
        QUEUED,
        httpx2.Response(500),
        httpx2.Response(200, content=b"{"),
        {**QUEUED, "status": None},
        QUEUED,
        DONE,
    ]
    tracked = TrackedOpenAI(Provider(lambda _: answers.pop(0)).client(), tracker, guard)
    with usage_context(tenant_id="acme"):
        put_off(tracked)
    for _ in range(5):
        assert guard.only.outcome == "held"
        try:
            tracked.responses.retrieve("resp_1")
        except (openai.APIError, ValueError):
            continue
    assert tracker.only["units"] == 5010
