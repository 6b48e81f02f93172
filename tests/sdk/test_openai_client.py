"""The wrapped OpenAI client against the sandbox: the exact event of every mode, and nothing else that differs."""

from __future__ import annotations

import asyncio
import gc
import gzip
import json
import subprocess
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import httpx2
import openai
import pydantic
import pytest

from sandbox import Dataset, Sandbox, running
from usage_metering.context import usage_context
from usage_metering.guard import UsageCapReached
from usage_metering.openai_client import AsyncTrackedOpenAI, TrackedOpenAI
from usage_metering.openai_usage import DEFAULT_MAX_OUTPUT
from wrapping import RecordingGuard, RecordingTracker, raised_by, same_failure, steady

NOW = datetime(2026, 11, 10, 12, tzinfo=UTC)
ROOT = Path(__file__).resolve().parents[2]
PROJECT = "proj_acme"
SECRET = "the patient in room twelve prefers tea"
MESSAGES: Any = [{"role": "system", "content": "Answer briefly."}, {"role": "user", "content": SECRET}]
LONG: Any = [{"role": "user", "content": SECRET * 200}]
PROMPT_TOKENS = -(-(len("systemAnswer briefly.") + len("user" + SECRET) + 3) // 4) + 11


class Answer(pydantic.BaseModel):
    name: str
    count: int


TOOL: Any = {
    "type": "function",
    "function": {
        "name": "book",
        "strict": True,
        "parameters": {
            "type": "object",
            "properties": {"day": {"type": "string"}},
            "required": ["day"],
            "additionalProperties": False,
        },
    },
}


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    projects = [
        {"id": identity, "object": "organization.project", "name": identity, "status": "active", "created_at": 1}
        for identity in ("proj_default", PROJECT)
    ]
    with running(Dataset(openai_projects=projects), now=NOW) as served:
        yield served


@pytest.fixture(autouse=True)
def _no_faults(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in ("OPENAI_ADMIN_KEY", "OPENAI_BASE_URL"):  # that the metering asks the sandbox makes it OpenAI here
        monkeypatch.setenv(name, sandbox.environment()[name])
    yield
    sandbox.faults.clear()


@pytest.fixture
def tracker() -> RecordingTracker:
    return RecordingTracker()


def options(sandbox: Sandbox, **more: Any) -> dict[str, Any]:
    return {"api_key": f"sk-{PROJECT}", "base_url": sandbox.environment()["OPENAI_BASE_URL"], "max_retries": 0, **more}


@pytest.fixture
def bare(sandbox: Sandbox) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(**options(sandbox)) as client:
        yield client


@pytest.fixture
def tracked(bare: openai.OpenAI, tracker: RecordingTracker) -> TrackedOpenAI:
    return TrackedOpenAI(bare, tracker)


def wait_until(done: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 5
    while not done() and time.monotonic() < deadline:
        time.sleep(0.01)


# --- the modes


def stream_of(stream: Any) -> Any:
    return [type(stream).__name__, list(stream)]


def helper_of(manager: Any, final: str) -> Any:
    with manager as stream:
        events = [event.type for event in stream]
        return [type(stream).__name__, events, getattr(stream, final)()]


def raw_of(raw: Any) -> Any:
    return [type(raw).__name__, raw.status_code, sorted(raw.headers), raw.retries_taken, raw.parse()]


def unread_of(manager: Any, read: Callable[[Any], Any]) -> Any:
    with manager as response:
        return [type(response).__name__, response.status_code, read(response)]


def chat(**more: Any) -> dict[str, Any]:
    return {"model": "gpt-4o-mini", "messages": MESSAGES, **more}


SYNC: dict[str, Callable[[Any], Any]] = {
    "chat": lambda c: c.chat.completions.create(**chat()),
    "chat, reasoning": lambda c: c.chat.completions.create(**chat(model="gpt-5-mini")),
    "chat, cached": lambda c: c.chat.completions.create(**chat(messages=LONG)),
    "chat, cut": lambda c: c.chat.completions.create(**chat(max_tokens=3)),
    "chat, choices": lambda c: c.chat.completions.create(**chat(n=3)),
    "chat, flex": lambda c: c.chat.completions.create(**chat(service_tier="flex")),
    "chat, tool": lambda c: c.chat.completions.create(**chat(tools=[TOOL], tool_choice="required")),
    "chat, stream": lambda c: stream_of(c.chat.completions.create(**chat(stream=True))),
    "chat, stream, cached": lambda c: stream_of(c.chat.completions.create(**chat(stream=True, messages=LONG))),
    "chat, stream, tool": lambda c: stream_of(
        c.chat.completions.create(**chat(stream=True, tools=[TOOL], tool_choice="required"))
    ),
    "chat, stream, with usage": lambda c: stream_of(
        c.chat.completions.create(**chat(stream=True, stream_options={"include_usage": True}))
    ),
    "chat, stream, without usage": lambda c: stream_of(
        c.chat.completions.create(**chat(stream=True, stream_options={"include_usage": False}))
    ),
    "chat, stream, extra body": lambda c: stream_of(
        c.chat.completions.create(**chat(stream=True, extra_body={"stream_options": {}, "max_tokens": 4}))
    ),
    "chat, stream helper": lambda c: helper_of(c.chat.completions.stream(**chat()), "get_final_completion"),
    "chat, parse": lambda c: c.chat.completions.parse(**chat(response_format=Answer)),
    "chat, raw": lambda c: raw_of(c.chat.completions.with_raw_response.create(**chat())),
    "chat, raw of the client": lambda c: raw_of(c.with_raw_response.chat.completions.create(**chat())),
    "chat, raw stream": lambda c: stream_of(c.chat.completions.with_raw_response.create(**chat(stream=True)).parse()),
    "chat, unread": lambda c: unread_of(
        c.chat.completions.with_streaming_response.create(**chat()), lambda r: r.parse()
    ),
    "chat, never read": lambda c: unread_of(
        c.chat.completions.with_streaming_response.create(**chat()), lambda r: r.is_closed
    ),
    "chat, unread stream": lambda c: unread_of(
        c.chat.completions.with_streaming_response.create(**chat(stream=True)), lambda r: list(r.parse())
    ),
    "chat, options": lambda c: c.with_options(timeout=9).chat.completions.create(**chat()),
    "responses": lambda c: c.responses.create(model="gpt-4o", input=SECRET, instructions="Be brief."),
    "responses, cut": lambda c: c.responses.create(model="gpt-5-mini", input=SECRET, max_output_tokens=20),
    "responses, stream": lambda c: stream_of(c.responses.create(model="gpt-5-mini", input=SECRET, stream=True)),
    "responses, stream, cut": lambda c: stream_of(
        c.responses.create(model="gpt-4o", input=SECRET, stream=True, max_output_tokens=2)
    ),
    "responses, stream helper": lambda c: helper_of(
        c.responses.stream(model="gpt-4o", input=SECRET), "get_final_response"
    ),
    "responses, parse": lambda c: c.responses.parse(model="gpt-4o", input=SECRET, text_format=Answer),
    "responses, raw": lambda c: raw_of(c.responses.with_raw_response.create(model="gpt-4o", input=SECRET)),
    "embeddings": lambda c: c.embeddings.create(model="text-embedding-3-small", input=[SECRET, "b"]),
    "embeddings, tokens": lambda c: c.embeddings.create(model="text-embedding-3-large", input=[[1, 2, 3], [4]]),
    "embeddings, raw": lambda c: raw_of(
        c.embeddings.with_raw_response.create(model="text-embedding-3-small", input=SECRET, encoding_format="float")
    ),
}


async def astream_of(stream: Any) -> Any:
    return [type(stream).__name__, [chunk async for chunk in stream]]


async def ahelper_of(manager: Any, final: str) -> Any:
    async with manager as stream:
        events = [event.type async for event in stream]
        return [type(stream).__name__, events, await getattr(stream, final)()]


async def araw_of(raw: Any) -> Any:
    return raw_of(await raw)


async def aunread_of(manager: Any) -> Any:
    async with manager as response:
        return [type(response).__name__, response.status_code, await response.parse()]


async def astream_after(pending: Awaitable[Any]) -> Any:
    return await astream_of(await pending)


ASYNC: dict[str, Callable[[Any], Awaitable[Any]]] = {
    "chat": lambda c: c.chat.completions.create(**chat()),
    "chat, stream": lambda c: astream_after(c.chat.completions.create(**chat(stream=True, messages=LONG))),
    "chat, stream, with usage": lambda c: astream_after(
        c.chat.completions.create(**chat(stream=True, stream_options={"include_usage": True}))
    ),
    "chat, stream helper": lambda c: ahelper_of(c.chat.completions.stream(**chat()), "get_final_completion"),
    "chat, parse": lambda c: c.chat.completions.parse(**chat(response_format=Answer)),
    "chat, raw": lambda c: araw_of(c.chat.completions.with_raw_response.create(**chat())),
    "chat, unread": lambda c: aunread_of(c.chat.completions.with_streaming_response.create(**chat())),
    "chat, options": lambda c: c.with_options(timeout=9).chat.completions.create(**chat()),
    "responses": lambda c: c.responses.create(model="gpt-5-mini", input=SECRET),
    "responses, stream": lambda c: astream_after(c.responses.create(model="gpt-4o", input=SECRET, stream=True)),
    "responses, stream helper": lambda c: ahelper_of(
        c.responses.stream(model="gpt-4o", input=SECRET), "get_final_response"
    ),
    "responses, parse": lambda c: c.responses.parse(model="gpt-4o", input=SECRET, text_format=Answer),
    "embeddings": lambda c: c.embeddings.create(model="text-embedding-3-small", input=SECRET),
}


@dataclass
class Charged:
    """What the sandbox, as the provider, has charged to the project."""

    input_tokens: int = 0
    cached_input_tokens: int = 0
    output_tokens: int = 0
    requests: int = 0

    @classmethod
    def of(cls, sandbox: Sandbox) -> Charged:
        data = sandbox.dataset
        every = [*data.openai_usage_completions, *data.openai_usage_embeddings]
        return cls(
            *(
                sum(bucket.get(name) or 0 for bucket in every if bucket["project_id"] == PROJECT)
                for name in ("input_tokens", "input_cached_tokens", "output_tokens", "num_model_requests")
            )
        )

    def since(self, before: Charged) -> Charged:
        return Charged(*(getattr(self, name) - getattr(before, name) for name in vars(self)))


def check_event(event: dict[str, Any], charged: Charged, mode: str) -> None:
    """The event says exactly what the provider charged."""
    is_embedding = mode.startswith("embeddings")
    metadata = event.pop("metadata", {})
    assert event.pop("external_id").startswith(
        "req_" if is_embedding else "resp_" if mode.startswith("responses") else "chatcmpl-"
    )
    model = event.pop("model")
    assert model in (
        "gpt-4o-mini-2024-07-18",
        "gpt-4o-2024-08-06",
        "gpt-5-mini",
        "text-embedding-3-small",
        "text-embedding-3-large",
    )
    assert charged.requests == 1
    assert event == {
        "tenant_id": "acme",
        "feature": "ai_sms",
        "service": "openai",
        "operation": "embedding" if is_embedding else "chat_completion",
        "channel": "ai",
        "direction": "outbound",
        "units": charged.input_tokens + charged.output_tokens,
        "input_tokens": charged.input_tokens,
        "cached_input_tokens": charged.cached_input_tokens,
        "output_tokens": charged.output_tokens,
        "resource_id": PROJECT,
    }
    expected: dict[str, Any] = {}
    if model == "gpt-5-mini":
        expected["reasoning_tokens"] = 20 if mode == "responses, cut" else 64
    if mode == "chat, flex":
        expected["service_tier"] = "flex"
    assert metadata == expected


@pytest.mark.parametrize("mode", SYNC)
def test_the_exact_event_and_the_bare_clients_answer(
    mode: str, sandbox: Sandbox, bare: openai.OpenAI, tracked: TrackedOpenAI, tracker: RecordingTracker
) -> None:
    expected = SYNC[mode](bare)
    assert tracker.events == []
    before = Charged.of(sandbox)
    with usage_context(tenant_id="acme", feature="ai_sms"):
        found = SYNC[mode](tracked)
    assert steady(found) == steady(expected)
    if mode == "chat, cached":
        assert tracker.only["cached_input_tokens"] == 896
    assert SECRET not in json.dumps(tracker.events, default=str)
    check_event(tracker.only, Charged.of(sandbox).since(before), mode)


@pytest.mark.parametrize("mode", ASYNC)
def test_the_async_client_likewise(mode: str, sandbox: Sandbox, tracker: RecordingTracker) -> None:
    async def both() -> tuple[Any, Any, Charged]:
        async with openai.AsyncOpenAI(**options(sandbox)) as client:
            tracked = AsyncTrackedOpenAI(client, tracker)
            expected = await ASYNC[mode](client)
            before = Charged.of(sandbox)
            with usage_context(tenant_id="acme", feature="ai_sms"):
                return expected, await ASYNC[mode](tracked), before

    expected, found, before = asyncio.run(both())
    assert steady(found) == steady(expected)
    assert tracker.threads[0] != threading.get_ident()  # the loop does not wait for the disk
    check_event(tracker.only, Charged.of(sandbox).since(before), mode)


def test_what_the_prompt_costs_is_known(tracked: TrackedOpenAI, tracker: RecordingTracker) -> None:
    """A figure that was reckoned by hand: the tests above compare two sides that could both be wrong."""
    tracked.chat.completions.create(**chat())
    assert tracker.only["input_tokens"] == PROMPT_TOKENS


# --- failures


FAILURES: dict[str, dict[str, Any]] = {
    "400": {"status": 400},
    "401": {"status": 401},
    "404": {"status": 404},
    "409, tried again": {"status": 409, "count": None},
    "429, tried again": {"status": 429, "count": None},
    "500, tried again": {"status": 500, "count": None},
    "no answer": {"cut": "before", "count": None},
    "cut": {"cut": "middle", "count": None},
    "timeout": {"status": None, "delay": 1.0, "count": None},
}


def failing(sandbox: Sandbox, name: str) -> None:
    sandbox.faults.clear()
    fault = dict(FAILURES[name])
    fault["headers"] = {"retry-after-ms": "1", **fault.get("headers", {})}
    sandbox.faults.add("/chat/completions", **fault)


# A stream that breaks off has used something; that is tested below.
@pytest.mark.parametrize(
    ("name", "streams"),
    [(name, streams) for name in FAILURES for streams in (False, True) if not (name == "cut" and streams)],
)
def test_a_failed_call_raises_what_the_bare_client_raises_and_records_nothing(
    name: str, streams: bool, sandbox: Sandbox, bare: openai.OpenAI, tracker: RecordingTracker
) -> None:
    guard = RecordingGuard()
    ways = {"max_retries": 1, "timeout": 0.2 if name == "timeout" else 20}
    failures = []
    requests = []
    for client in (bare, TrackedOpenAI(bare, tracker, guard)):
        failing(sandbox, name)
        count = len(sandbox.requests)
        with usage_context(tenant_id="acme"):
            one = client.with_options(**ways)
            failures.append(raised_by(lambda one=one: one.chat.completions.create(**chat(stream=streams))))
        requests.append(len(sandbox.requests) - count)
    same_failure(*failures)
    assert requests[0] == requests[1] == (2 if "again" in name or name in ("no answer", "cut", "timeout") else 1)
    assert tracker.events == []
    assert guard.only.outcome == "released"


def test_async_failures(sandbox: Sandbox, tracker: RecordingTracker) -> None:
    guard = RecordingGuard()

    async def both() -> list[BaseException]:
        found: list[BaseException] = []
        async with openai.AsyncOpenAI(**options(sandbox)) as client:
            for one in (client, AsyncTrackedOpenAI(client, tracker, guard)):
                with usage_context(tenant_id="acme"):
                    try:
                        await one.chat.completions.create(**chat())
                    except openai.OpenAIError as error:
                        found.append(error)
        return found

    sandbox.faults.add("/chat/completions", status=404, count=None)
    same_failure(*asyncio.run(both()))
    assert tracker.events == []
    assert guard.only.outcome == "released"


def test_retries_inside_the_sdk_are_one_call(
    sandbox: Sandbox, tracked: TrackedOpenAI, tracker: RecordingTracker
) -> None:
    sandbox.faults.add("/chat/completions", status=500, count=2, headers={"retry-after-ms": "1"})
    raw = tracked.with_options(max_retries=2).chat.completions.with_raw_response.create(**chat())
    assert raw.retries_taken == 2
    assert tracker.only["external_id"] == raw.parse().id


def test_an_answer_that_the_sdk_refuses_was_paid_for(
    bare: openai.OpenAI, tracked: TrackedOpenAI, tracker: RecordingTracker
) -> None:
    request = chat(response_format=Answer, max_tokens=2)
    failures = [raised_by(lambda c=c: c.chat.completions.parse(**request)) for c in (bare, tracked)]
    assert [type(failure) for failure in failures] == [openai.LengthFinishReasonError] * 2
    assert tracker.only["output_tokens"] == 2
    assert "metadata" not in tracker.only


def test_wrong_use_is_refused_as_by_the_bare_client(bare: openai.OpenAI, tracked: TrackedOpenAI) -> None:
    for call in (
        lambda c: c.chat.completions.create(model="gpt-4o"),
        lambda c: c.chat.completions.create(**chat(colour="red")),
        lambda c: c.chat.nonsense,
        lambda c: c.nonsense,
    ):
        same_failure(raised_by(lambda call=call: call(bare)), raised_by(lambda call=call: call(tracked)))


# --- streams that break off


def test_a_stream_that_is_closed_early_is_estimated(tracked: TrackedOpenAI, tracker: RecordingTracker) -> None:
    with usage_context(tenant_id="acme"):
        stream = tracked.chat.completions.create(**chat(stream=True))
    first = [next(stream) for _ in range(4)]  # the role, and three pieces
    assert tracker.events == []
    stream.close()
    stream.close()
    event = tracker.only
    assert event["metadata"] == {"estimated": True}
    assert event["tenant_id"] == "acme"  # the context that the call was made in
    assert event["external_id"] == first[0].id
    assert event["model"] == "gpt-4o-mini-2024-07-18"
    assert event["output_tokens"] == 4  # three pieces, of 13 bytes together
    assert abs(event["input_tokens"] - PROMPT_TOKENS) <= 5


def test_a_stream_left_by_an_exception_or_forgotten_is_estimated_once(
    tracked: TrackedOpenAI, tracker: RecordingTracker
) -> None:
    def leave() -> None:
        with tracked.chat.completions.create(**chat(stream=True)) as stream:
            for _ in stream:
                raise KeyError

    with pytest.raises(KeyError):
        leave()
    assert tracker.only["metadata"] == {"estimated": True}
    tracker.events.clear()
    forgotten = tracked.chat.completions.create(**chat(stream=True))
    next(forgotten)
    del forgotten
    gc.collect()
    wait_until(lambda: bool(tracker.events))
    assert tracker.only["metadata"] == {"estimated": True}
    tracker.events.clear()
    with tracked.chat.completions.stream(**chat()) as helper:
        next(helper)
    assert tracker.only["metadata"] == {"estimated": True}
    tracker.events.clear()
    with tracked.responses.create(model="gpt-4o", input=SECRET, stream=True) as events:
        assert next(iter(events)).type == "response.created"
    assert tracker.only["metadata"] == {"estimated": True}
    assert tracker.only["external_id"].startswith("resp_")


@pytest.mark.parametrize("resource", ["chat", "responses"])
def test_a_stream_that_the_network_cuts_raises_the_same_and_is_estimated(
    resource: str, sandbox: Sandbox, bare: openai.OpenAI, tracked: TrackedOpenAI, tracker: RecordingTracker
) -> None:
    def read(client: Any) -> tuple[int, BaseException]:
        sandbox.faults.clear()
        sandbox.faults.add("/v1/", cut="middle")
        if resource == "chat":
            stream = client.chat.completions.create(**chat(stream=True))
        else:
            stream = client.responses.create(model="gpt-4o", input=SECRET, stream=True)
        seen = []
        return len(seen), raised_by(lambda: seen.extend(stream))

    (_, expected), (_, found) = read(bare), read(tracked)
    same_failure(found, expected)
    assert isinstance(found, openai.APIConnectionError)
    assert tracker.only["metadata"] == {"estimated": True}


def served(chunks: list[bytes], *, compressed: bool = False) -> openai.OpenAI:
    """A client of a server that answers with these bytes."""
    content = b"".join(chunks)
    headers = {"content-type": "text/event-stream", "x-request-id": "req_1"}
    if compressed:
        content, headers["content-encoding"] = gzip.compress(content), "gzip"

    def handler(request: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(200, headers=headers, stream=Pieces(content))

    transport = httpx2.MockTransport(handler)
    return openai.OpenAI(
        api_key="sk-x", base_url="https://api.openai.com/v1", http_client=openai.DefaultHttpxClient(transport=transport)
    )


class Pieces(httpx2.SyncByteStream):
    def __init__(self, content: bytes, size: int = 7) -> None:
        self._pieces = [content[at : at + size] for at in range(0, len(content), size)]

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._pieces)


HEAD = '"id":"chatcmpl-1","object":"chat.completion.chunk","created":1,"model":"gpt-4o-2024-08-06"'
CHUNK = '"choices":[{"index":0,"delta":{"content":"a,\\"usage\\":null"},"finish_reason":null}]'
USAGE = '{"prompt_tokens":9,"completion_tokens":5,"total_tokens":14}'


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
@pytest.mark.parametrize("compressed", [False, True], ids=["clear", "gzip"])
def test_bytes_come_in_any_pieces_and_encodings(newline: str, compressed: bool, tracker: RecordingTracker) -> None:
    def events(*data: str) -> list[bytes]:
        return [f"data: {line}{newline}{newline}".encode() for line in (*data, "[DONE]")]

    requested = events(
        f'{{{HEAD},{CHUNK},"usage":null}}',
        f'{{{HEAD},{CHUNK}, "usage" : null}}',
        f'{{{HEAD},"choices":[],"usage":{USAGE}}}',
    )
    plain = events(f"{{{HEAD},{CHUNK}}}", f"{{{HEAD},{CHUNK}}}")
    expected = served(plain).chat.completions.create(**chat(stream=True))
    found = TrackedOpenAI(served(requested, compressed=compressed), tracker).chat.completions.create(
        **chat(stream=True)
    )
    assert [chunk.to_dict() for chunk in found] == [chunk.to_dict() for chunk in expected]
    assert (tracker.only["units"], tracker.only["input_tokens"]) == (14, 9)
    lines = TrackedOpenAI(served(requested), tracker).chat.completions.with_streaming_response.create(
        **chat(stream=True)
    )
    with lines as response:
        assert "total_tokens" not in "".join(response.iter_text())


def test_an_error_in_a_stream_before_any_answer_records_nothing(tracker: RecordingTracker) -> None:
    error = b'data: {"error":{"message":"The server is overloaded","type":"server_error"}}\n\n'
    same_failure(
        raised_by(lambda: list(served([error]).chat.completions.create(**chat(stream=True)))),
        raised_by(lambda: list(TrackedOpenAI(served([error]), tracker).chat.completions.create(**chat(stream=True)))),
    )
    assert tracker.events == []
    chunk = f"data: {{{HEAD},{CHUNK}}}\n\n".encode()
    stream = TrackedOpenAI(served([chunk, error]), tracker).chat.completions.create(**chat(stream=True))
    raised_by(lambda: list(stream))
    assert tracker.only["metadata"] == {"estimated": True}


def test_an_async_stream_that_is_left_or_cancelled_is_estimated(sandbox: Sandbox, tracker: RecordingTracker) -> None:
    async def leave() -> None:
        async with openai.AsyncOpenAI(**options(sandbox)) as client:
            tracked = AsyncTrackedOpenAI(client, tracker)
            stream = await tracked.chat.completions.create(**chat(stream=True))
            async for _ in stream:
                break
            await stream.close()

            async def read() -> None:
                async for _ in await tracked.responses.create(model="gpt-4o", input=SECRET, stream=True):
                    await asyncio.sleep(30)

            task = asyncio.create_task(read())
            await asyncio.sleep(0.3)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            gc.collect()

    asyncio.run(leave())
    wait_until(lambda: len(tracker.events) == 2)
    assert [event["metadata"] for event in tracker.events] == [{"estimated": True}] * 2


FORGETFUL = """
import os, sys, openai
from usage_metering.openai_client import TrackedOpenAI

class Tracker:
    def record(self, **fields):
        os.write(1, f"{os.getpid() == PID} {fields['metadata']}\\n".encode())

PID = os.getpid()
client = TrackedOpenAI(openai.OpenAI(api_key="sk-x", base_url=sys.argv[1]), Tracker())
stream = client.chat.completions.create(model="gpt-4o", messages=[{"role": "user", "content": "x"}], stream=True)
next(stream)
if os.fork() == 0:
    sys.exit()
os.wait()
"""


def test_a_stream_that_is_open_at_exit_is_recorded_by_its_own_process(sandbox: Sandbox) -> None:
    command = [sys.executable, "-W", "ignore", "-c", FORGETFUL, sandbox.environment()["OPENAI_BASE_URL"]]
    outcome = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True, cwd=ROOT)
    assert outcome.stdout == "True {'estimated': True}\n", outcome.stderr


def test_a_users_own_httpx_client_and_azure_are_metered(sandbox: Sandbox, tracker: RecordingTracker) -> None:
    with httpx.Client() as http, openai.OpenAI(**options(sandbox, http_client=http)) as client:
        chunks = list(TrackedOpenAI(client, tracker).chat.completions.create(**chat(stream=True)))
        assert steady(chunks) == steady(list(client.chat.completions.create(**chat(stream=True))))
    assert "metadata" not in tracker.only
    tracker.events.clear()
    paths = []

    def handler(request: httpx2.Request) -> httpx2.Response:
        paths.append(request.url.path)
        answer = {"id": "chatcmpl-1", "model": "gpt-4o", "choices": [], "usage": json.loads(USAGE)}
        return httpx2.Response(200, json=answer)

    transport = httpx2.MockTransport(handler)
    azure = openai.AzureOpenAI(
        api_key="x",
        azure_endpoint="http://x",
        api_version="2026-01-01",
        http_client=openai.DefaultHttpxClient(transport=transport),
    )
    TrackedOpenAI(azure, tracker).chat.completions.create(**chat())
    assert paths == ["/openai/deployments/gpt-4o-mini/chat/completions"]
    assert tracker.only["units"] == 14


# --- in the background


def test_a_background_response_is_recorded_when_it_is_fetched(
    sandbox: Sandbox, tracked: TrackedOpenAI, tracker: RecordingTracker
) -> None:
    with usage_context(tenant_id="acme"):
        begun = tracked.responses.create(model="gpt-4o", input=SECRET, background=True)
    assert begun.status == "queued"
    assert tracker.events == []
    for _ in range(2):
        assert tracked.with_options(timeout=9).responses.retrieve(begun.id).usage is not None
    assert (tracker.only["external_id"], tracker.only["tenant_id"]) == (begun.id, "acme")

    async def fetch() -> None:
        async with openai.AsyncOpenAI(**options(sandbox)) as client:
            both = AsyncTrackedOpenAI(client, tracker)
            put_off = await both.responses.create(model="gpt-4o", input=SECRET, background=True)
            await both.responses.retrieve(put_off.id)

    asyncio.run(fetch())
    assert len(tracker.events) == 2


# --- whose it is


def test_metering_says_whose_a_call_is_and_is_not_sent(tracked: TrackedOpenAI, tracker: RecordingTracker) -> None:
    create: Any = tracked.chat.completions.create
    metering = {"tenant_id": "acme", "feature": "ai_sms", "operation": "lead_scoring", "lead_id": "L1"}
    with usage_context(tenant_id="other", metadata={"step": 1}):
        raw: Any = tracked.chat.completions.with_raw_response
        answer = raw.create(**chat(), metering={**metering, "metadata": {"run": 7}}, extra_headers={"x-a": "b"})
        sent = answer.http_request.headers
    assert not [name for name in sent if "metering" in name]
    assert sent["x-a"] == "b"
    event = tracker.only
    assert (event["tenant_id"], event["feature"], event["activity"]) == ("acme", "ai_sms", "lead_scoring")
    assert (event["lead_id"], event["metadata"]) == ("L1", {"step": 1, "run": 7})
    assert event["operation"] == "chat_completion"
    tracker.events.clear()
    helper: Any = tracked.chat.completions.stream
    with helper(**chat(), metering=metering) as stream:
        stream.until_done()
    assert tracker.only["tenant_id"] == "acme"
    for nonsense in ("acme", {"tenant": "acme"}, {"metadata": "x", "tenant_id": "acme"}):
        assert create(**chat(), metering=nonsense).choices


def test_concurrent_tasks_keep_their_tenants(sandbox: Sandbox, tracker: RecordingTracker) -> None:
    async def one(client: AsyncTrackedOpenAI, tenant: str) -> tuple[str, str]:
        with usage_context(tenant_id=tenant):
            stream = await client.chat.completions.create(**chat(stream=True))
        ids = {chunk.id async for chunk in stream}
        return ids.pop(), tenant

    async def many() -> list[tuple[str, str]]:
        async with openai.AsyncOpenAI(**options(sandbox)) as client:
            tracked = AsyncTrackedOpenAI(client, tracker)
            return await asyncio.gather(*(one(tracked, f"tenant-{number}") for number in range(20)))

    expected = dict(asyncio.run(many()))
    assert {event["external_id"]: event["tenant_id"] for event in tracker.events} == expected


def test_the_project_is_the_answers_else_the_clients(sandbox: Sandbox, tracker: RecordingTracker) -> None:
    tracked = TrackedOpenAI(openai.OpenAI(**options(sandbox, api_key="sk-any", project=PROJECT)), tracker)
    tracked.chat.completions.create(**chat())
    assert tracker.only["resource_id"] == PROJECT


# --- the wrapper itself


def test_it_is_the_users_client_in_all_else(bare: openai.OpenAI, tracked: TrackedOpenAI, sandbox: Sandbox) -> None:
    assert isinstance(tracked, openai.OpenAI)
    assert isinstance(tracked, TrackedOpenAI)
    assert type(tracked) is TrackedOpenAI
    assert isinstance(tracked.with_options(timeout=3), TrackedOpenAI)
    assert isinstance(tracked.chat.completions, type(bare.chat.completions))
    assert tracked.chat is tracked.chat
    assert tracked.api_key == bare.api_key
    assert tracked.base_url == bare.base_url
    tracked.api_key = "sk-other"
    assert bare.api_key == "sk-other"
    assert dir(tracked) == dir(bare)
    assert "TrackedOpenAI of" in repr(tracked)
    with TrackedOpenAI(openai.OpenAI(**options(sandbox)), RecordingTracker()) as inside:
        assert type(inside) is TrackedOpenAI
    assert inside.is_closed()


def test_the_bare_client_stays_bare(bare: openai.OpenAI, tracked: TrackedOpenAI, tracker: RecordingTracker) -> None:
    tracked.chat.completions.create(**chat())
    bare.chat.completions.create(**chat())
    assert len(tracker.events) == 1


def test_a_tracker_that_fails_is_not_noticed(sandbox: Sandbox, bare: openai.OpenAI) -> None:
    tracked = TrackedOpenAI(bare, RecordingTracker(fails=True))
    assert tracked.chat.completions.create(**chat()).choices
    assert len(list(tracked.chat.completions.create(**chat(stream=True)))) > 3


# --- the cap


def test_room_is_reserved_before_and_settled_after(bare: openai.OpenAI, tracker: RecordingTracker) -> None:
    guard = RecordingGuard()
    tracked = TrackedOpenAI(bare, tracker, guard)
    with usage_context(tenant_id="acme", feature="ai_sms"):
        answer = tracked.chat.completions.create(**chat(max_completion_tokens=100, n=2))
    held = guard.only
    assert (held.tenant_id, held.channel, held.direction, held.feature) == ("acme", "ai", "outbound", "ai_sms")
    assert held.units >= PROMPT_TOKENS + 200
    assert held.units <= 2 * PROMPT_TOKENS + 200
    assert answer.usage is not None
    assert held.settlement == (answer.id, answer.usage.total_tokens)
    assert held.outcome == "settled"
    assert tracker.reservations == [held.id]


def test_what_is_reserved_where_no_maximum_is_named(bare: openai.OpenAI) -> None:
    guard = RecordingGuard()
    tracked = TrackedOpenAI(bare, RecordingTracker(), guard)
    with usage_context(tenant_id="acme"):
        tracked.chat.completions.create(**chat())
        tracked.responses.create(model="gpt-4o", input="x" * 300, max_output_tokens=50)
        tracked.embeddings.create(model="text-embedding-3-small", input=[[1, 2, 3], [4]])
    units = [held.units for held in guard.held]
    assert DEFAULT_MAX_OUTPUT < units[0] < DEFAULT_MAX_OUTPUT + 100
    assert units[1:] == [150, 4]


def test_a_refused_call_is_never_sent(sandbox: Sandbox, bare: openai.OpenAI, tracker: RecordingTracker) -> None:
    guard = RecordingGuard(refuses=True)
    tracked = TrackedOpenAI(bare, tracker, guard)
    count = len(sandbox.requests)

    async def refused() -> None:
        async with openai.AsyncOpenAI(**options(sandbox)) as client:
            await AsyncTrackedOpenAI(client, tracker, guard).responses.create(model="gpt-4o", input="x")

    with usage_context(tenant_id="acme"):
        for mode in ("chat", "chat, stream", "chat, stream helper", "responses, parse", "embeddings"):
            with pytest.raises(UsageCapReached, match="Usage cap reached for this channel"):
                SYNC[mode](tracked)
        with pytest.raises(UsageCapReached):
            asyncio.run(refused())
    assert len(sandbox.requests) == count
    assert tracker.events == []


def test_a_stream_holds_its_room_until_it_ends(bare: openai.OpenAI, tracker: RecordingTracker) -> None:
    guard = RecordingGuard()
    with usage_context(tenant_id="acme"):
        stream = TrackedOpenAI(bare, tracker, guard).chat.completions.create(**chat(stream=True))
        next(stream)
        assert guard.only.outcome == "held"
        list(stream)
    assert guard.only.outcome == "settled"
    assert guard.only.settlement == (tracker.only["external_id"], tracker.only["units"])


def test_a_guard_that_breaks_or_has_nobody_to_ask_about_is_not_noticed(
    bare: openai.OpenAI, tracker: RecordingTracker
) -> None:
    guard = RecordingGuard(breaks=True)
    with usage_context(tenant_id="acme"):
        assert TrackedOpenAI(bare, tracker, guard).chat.completions.create(**chat()).choices
    guard = RecordingGuard()
    assert TrackedOpenAI(bare, tracker, guard).chat.completions.create(**chat()).choices
    assert guard.held == []
    assert len(tracker.events) == 2


@pytest.mark.parametrize("messages", [None, "x", [None], [{"role": object()}], [{"content": [{"type": 3}]}], iter(())])
def test_what_cannot_be_measured_is_the_providers_to_refuse(
    messages: Any, sandbox: Sandbox, bare: openai.OpenAI, tracker: RecordingTracker
) -> None:
    sandbox.faults.add("/chat/completions", status=400, count=None)
    guarded = TrackedOpenAI(bare, tracker, RecordingGuard())
    with usage_context(tenant_id="acme"):
        same_failure(
            raised_by(lambda: bare.chat.completions.create(model="gpt-4o", messages=messages)),
            raised_by(lambda: guarded.chat.completions.create(model="gpt-4o", messages=messages)),
        )
    assert tracker.events == []


def test_the_loop_does_not_wait_for_the_guard(sandbox: Sandbox, tracker: RecordingTracker) -> None:
    guard = RecordingGuard()

    async def ask() -> int:
        async with openai.AsyncOpenAI(**options(sandbox)) as client:
            with usage_context(tenant_id="acme"):
                await AsyncTrackedOpenAI(client, tracker, guard).chat.completions.create(**chat())
        return threading.get_ident()

    assert asyncio.run(ask()) not in guard.asked_in
    assert guard.only.outcome == "settled"


def test_a_cancelled_task_gives_its_room_back(sandbox: Sandbox, tracker: RecordingTracker) -> None:
    guard = RecordingGuard()
    sandbox.faults.add("/chat/completions", status=None, delay=2.0)

    async def cancel() -> None:
        async with openai.AsyncOpenAI(**options(sandbox)) as client:
            with usage_context(tenant_id="acme"):
                task = asyncio.create_task(
                    AsyncTrackedOpenAI(client, tracker, guard).chat.completions.create(**chat())  # type: ignore[arg-type]
                )
                await asyncio.sleep(0.5)
                task.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await task

    asyncio.run(cancel())
    wait_until(lambda: guard.only.outcome != "held")
    assert guard.only.outcome == "released"
    assert tracker.events == []
