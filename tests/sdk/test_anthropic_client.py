"""The wrapped Anthropic client against the sandbox: one exact event for every form of a call, and nothing else that differs."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from sandbox import Dataset, Sandbox, running
from usage_metering import NotMetered
from usage_metering.anthropic_client import AsyncTrackedAnthropic, TrackedAnthropic
from usage_metering.context import usage_context
from usage_metering.guard import UsageCapReached
from wrapping import RecordingGuard, RecordingTracker

anthropic = pytest.importorskip("anthropic")
httpx2 = pytest.importorskip("httpx2")

NOW = datetime(2026, 11, 10, 12, tzinfo=UTC)
MODEL = "claude-sonnet-5"
ASKED = "the patient in room twelve prefers tea"
# By the sandbox: 38 characters are 10 tokens.
ASK: dict[str, Any] = {"model": MODEL, "max_tokens": 5, "messages": [{"role": "user", "content": ASKED}]}
EVENT = {
    "tenant_id": "acme",
    "service": "anthropic",
    "operation": "chat_completion",
    "channel": "ai",
    "direction": "outbound",
    "model": MODEL,
    "units": 15,
    "input_tokens": 10,
    "cached_input_tokens": 0,
    "output_tokens": 5,
}


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with running(Dataset(), now=NOW) as served:
        yield served


@pytest.fixture(autouse=True)
def _is_anthropic(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("METERING_ANTHROPIC_HOSTS", sandbox.environment()["METERING_ANTHROPIC_HOSTS"])
    yield
    sandbox.faults.clear()


def options(sandbox: Sandbox) -> dict[str, Any]:
    told = sandbox.environment()
    return {"api_key": told["ANTHROPIC_API_KEY"], "base_url": told["ANTHROPIC_BASE_URL"], "max_retries": 0}


def used(
    sandbox: Sandbox, call: Callable[[Any], Any], guard: RecordingGuard | None = None
) -> tuple[Any, list[dict[str, Any]]]:
    """What a call of acme's gives, and the events of it without their ids."""
    tracker = RecordingTracker()
    with anthropic.Anthropic(**options(sandbox)) as client, usage_context(tenant_id="acme"):
        answer = call(TrackedAnthropic(client, tracker, guard))
    return answer, tracker.events


def without_ids(events: list[dict[str, Any]]) -> list[dict[str, Any]]:
    assert all(str(event.get("external_id")).startswith("msg_") for event in events)
    return [{name: value for name, value in event.items() if name != "external_id"} for event in events]


def helper_of(manager: Any) -> Any:
    with manager as stream:
        return stream.get_final_message()


def unread(manager: Any) -> Any:
    with manager as response:
        return response.json()


def batch_of(client: Any, messages: Any) -> Any:
    made = messages.batches.create(requests=[{"custom_id": "first", "params": ASK}])
    return list(messages.batches.results(made.id))


SYNC: dict[str, Callable[[Any], Any]] = {
    "create": lambda c: c.messages.create(**ASK),
    "beta": lambda c: c.beta.messages.create(**ASK),
    "stream": lambda c: list(c.messages.create(**ASK, stream=True)),
    "beta, stream": lambda c: list(c.beta.messages.create(**ASK, stream=True)),
    "helper": lambda c: helper_of(c.messages.stream(**ASK)),
    "beta, helper": lambda c: helper_of(c.beta.messages.stream(**ASK)),
    "raw": lambda c: c.messages.with_raw_response.create(**ASK).parse(),
    "raw, stream": lambda c: list(c.messages.with_raw_response.create(**ASK, stream=True).parse()),
    "unread": lambda c: unread(c.messages.with_streaming_response.create(**ASK)),
    "copy": lambda c: c.with_options(timeout=9).messages.create(**ASK),
    "post": lambda c: c.post("/v1/messages", body=ASK, cast_to=object),
}


@pytest.mark.parametrize("form", SYNC)
def test_each_form_of_a_call_is_one_event(form: str, sandbox: Sandbox) -> None:
    guard = RecordingGuard()
    _, events = used(sandbox, SYNC[form], guard)
    assert without_ids(events) == [EVENT]
    (held,) = guard.held
    assert held.settlement == (events[0]["external_id"], 15)
    assert held.outcome == "settled"


@pytest.mark.parametrize("space", [lambda c: c.messages, lambda c: c.beta.messages], ids=["messages", "beta"])
def test_a_batch_is_counted_when_its_results_are_read(space: Callable[[Any], Any], sandbox: Sandbox) -> None:
    guard = RecordingGuard()
    results, events = used(sandbox, lambda c: batch_of(c, space(c)), guard)
    assert [result.custom_id for result in results] == ["first"]
    assert without_ids(events) == [{**EVENT, "metadata": {"service_tier": "batch"}}]
    assert [held.outcome for held in guard.held] == ["released"]


def test_a_batch_is_its_makers_whoever_reads_it(sandbox: Sandbox) -> None:
    tracker = RecordingTracker()
    with anthropic.Anthropic(**options(sandbox)) as client:
        tracked = TrackedAnthropic(client, tracker)
        with usage_context(tenant_id="acme", feature="nightly"):
            made = tracked.messages.batches.create(requests=[{"custom_id": "first", "params": ASK}])
        with usage_context(tenant_id="worker"):
            read = [list(tracked.messages.batches.results(made.id)) for _ in range(2)]
    assert len(read[0]) == 1
    first, again = tracker.events
    assert (first["tenant_id"], first["feature"]) == ("acme", "nightly")
    assert first == again  # the same id, and so counted once


def test_what_costs_nothing_is_no_event(sandbox: Sandbox) -> None:
    counted, events = used(
        sandbox, lambda c: c.messages.count_tokens(model=MODEL, messages=ASK["messages"]), RecordingGuard()
    )
    assert (counted.input_tokens, events) == (10, [])


def test_an_error_is_no_event(sandbox: Sandbox) -> None:
    guard = RecordingGuard()
    tracker = RecordingTracker()
    with (
        anthropic.Anthropic(**options(sandbox)) as client,
        usage_context(tenant_id="acme"),
        pytest.raises(anthropic.NotFoundError),
    ):
        TrackedAnthropic(client, tracker, guard).messages.create(**{**ASK, "model": "gpt-4o"})
    assert tracker.events == []
    assert [held.outcome for held in guard.held] == ["released"]


@pytest.mark.parametrize("form", [*SYNC, "batch"])
def test_at_the_cap_nothing_is_sent(form: str, sandbox: Sandbox) -> None:
    before = len(sandbox.requests)
    calls = {**SYNC, "batch": lambda c: batch_of(c, c.messages)}
    with pytest.raises(UsageCapReached):
        used(sandbox, calls[form], RecordingGuard(refuses=True))
    assert len(sandbox.requests) == before


def test_what_is_not_metered_is_refused_under_a_guard(sandbox: Sandbox) -> None:
    with pytest.raises(NotMetered):
        used(sandbox, lambda c: c.post("/v1/sessions", body={}, cast_to=object), RecordingGuard())


def test_the_cache_is_in_buckets_that_sum_to_the_vendors_total(sandbox: Sandbox) -> None:
    """101 tokens (of 401 characters) for an hour, 51 (of 201) for five minutes, 10 of neither; then all of that is read."""

    def cached(client: Any) -> list[Any]:
        system = [
            {"type": "text", "text": "h" * 396, "cache_control": {"type": "ephemeral", "ttl": "1h"}},
            {"type": "text", "text": "m" * 196, "cache_control": {"type": "ephemeral"}},
        ]
        return [client.messages.create(**ASK, system=system) for _ in range(2)]

    (written, read), events = used(sandbox, cached)
    assert without_ids(events) == [
        {**EVENT, "units": 167, "input_tokens": 162, "cache_write_tokens": 51, "cache_write_1h_tokens": 101, "output_tokens": 5},
        {**EVENT, "units": 167, "input_tokens": 162, "cached_input_tokens": 152},
    ]  # fmt: skip
    for answer, event in zip((written, read), events, strict=True):
        said = answer.usage
        vendors = said.input_tokens + said.cache_creation_input_tokens + said.cache_read_input_tokens
        assert event["input_tokens"] == vendors


@pytest.mark.parametrize("streams", [False, True])
def test_web_searches_are_an_event_beside_the_answers(streams: bool, sandbox: Sandbox) -> None:
    tools = [{"type": "web_search_20250305", "name": "web_search"}]

    def search(client: Any) -> Any:
        answer = client.messages.create(**ASK, tools=tools, stream=streams)
        return list(answer) if streams else answer

    _, (answer, searched) = used(sandbox, search)
    assert searched == {
        **{name: EVENT[name] for name in ("tenant_id", "service", "channel", "direction", "model")},
        "operation": "web_search_call",
        "units": 1,
        "external_id": f"{answer['external_id']}/web_search",
    }


def _taken_over(request: Any) -> Any:
    """Return an answer that a fallback gave after the model that was asked had begun one, as the vendor's guide shows it."""
    fable, opus = "claude-fable-5", "claude-opus-4-8"
    begun = {"type": "message", "model": fable, "input_tokens": 400, "output_tokens": 90}
    usage = {"input_tokens": 490, "output_tokens": 264}
    usage["iterations"] = [begun, {**usage, "type": "fallback_message", "model": opus}]
    switch = {
        "type": "fallback",
        "from": {"model": fable},
        "to": {"model": opus},
        "trigger": {"type": "refusal", "category": "bio"},
    }
    message = {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": opus,
        "content": [switch],
        "stop_reason": "end_turn",
    }
    if not json.loads(request.content).get("stream"):
        return httpx2.Response(200, json={**message, "usage": usage})
    start = {
        **message,
        "model": fable,
        "content": [],
        "stop_reason": None,
        "usage": {"input_tokens": 400, "output_tokens": 1},
    }
    events = [
        {"type": "message_start", "message": start},
        {"type": "content_block_start", "index": 0, "content_block": switch},
        {"type": "content_block_stop", "index": 0},
        {"type": "message_delta", "delta": {"stop_reason": "end_turn", "stop_sequence": None}, "usage": usage},
        {"type": "message_stop"},
    ]
    text = "".join(f"event: {event['type']}\ndata: {json.dumps(event)}\n\n" for event in events)
    return httpx2.Response(200, text=text, headers={"content-type": "text/event-stream"})


@pytest.mark.parametrize("streams", [False, True])
def test_a_fallback_s_answer_is_its_own_and_what_was_begun_before_an_event_beside(streams: bool) -> None:
    tracker = RecordingTracker()
    with httpx2.Client(transport=httpx2.MockTransport(_taken_over)) as http, usage_context(tenant_id="acme"):
        client = TrackedAnthropic(anthropic.Anthropic(api_key="none", http_client=http), tracker)
        asked = {**ASK, "model": "claude-fable-5", "fallbacks": [{"model": "claude-opus-4-8"}]}
        answer = client.beta.messages.create(**asked, betas=["server-side-fallback-2026-07-01"], stream=streams)
        if streams:
            list(answer)
    names = ("model", "external_id", "units", "input_tokens", "output_tokens")
    assert [tuple(event[name] for name in names) for event in tracker.events] == [
        ("claude-opus-4-8", "msg_1", 754, 490, 264),
        ("claude-fable-5", "msg_1/declined/claude-fable-5", 490, 400, 90),
    ]


def _declined(request: Any) -> Any:
    """Return a refusal before any output, as the vendor's guide shows it."""
    usage = {"input_tokens": 412, "output_tokens": 0}
    message = {"id": "msg_1", "type": "message", "role": "assistant", "model": MODEL, "content": [], "usage": usage}
    if not json.loads(request.content).get("stream"):
        return httpx2.Response(200, json={**message, "stop_reason": "refusal"})
    events = [
        {"type": "message_start", "message": {**message, "stop_reason": None, "usage": {**usage, "output_tokens": 1}}},
        {"type": "message_delta", "delta": {"stop_reason": "refusal", "stop_sequence": None}, "usage": usage},
        {"type": "message_stop"},
    ]
    text = "".join(f"event: {event['type']}\ndata: {json.dumps(event)}\n\n" for event in events)
    return httpx2.Response(200, text=text, headers={"content-type": "text/event-stream"})


@pytest.mark.parametrize("streams", [False, True])
def test_what_is_declined_before_there_is_output_is_no_use(streams: bool) -> None:
    tracker, guard = RecordingTracker(), RecordingGuard()
    with httpx2.Client(transport=httpx2.MockTransport(_declined)) as http, usage_context(tenant_id="acme"):
        answer = TrackedAnthropic(
            anthropic.Anthropic(api_key="none", http_client=http), tracker, guard
        ).messages.create(**ASK, stream=streams)
        if streams:
            list(answer)
    assert tracker.events == []
    assert guard.only.outcome == "released"


def test_a_stream_that_is_closed_early_is_counted_as_far_as_it_came(sandbox: Sandbox) -> None:
    def left(client: Any) -> None:
        with client.messages.create(**ASK, stream=True) as stream:
            for event in stream:
                if event.type == "content_block_delta":
                    break

    _, events = used(sandbox, left)
    (event,) = without_ids(events)
    assert (event["input_tokens"], event["metadata"]) == (10, {"estimated": True})
    assert 1 <= event["output_tokens"] <= 5


def test_the_async_client_counts_the_same(sandbox: Sandbox) -> None:
    tracker, guard = RecordingTracker(), RecordingGuard()

    async def calls() -> None:
        async with anthropic.AsyncAnthropic(**options(sandbox)) as client:
            tracked = AsyncTrackedAnthropic(client, tracker, guard)
            await tracked.messages.create(**ASK)
            async for _ in await tracked.beta.messages.create(**ASK, stream=True):
                pass
            async with tracked.messages.stream(**ASK) as stream:
                await stream.get_final_message()
            raw = await tracked.messages.with_raw_response.create(**ASK)
            await raw.parse()
            made = await tracked.messages.batches.create(requests=[{"custom_id": "first", "params": ASK}])
            async for _ in await tracked.messages.batches.results(made.id):
                pass

    with usage_context(tenant_id="acme"):
        asyncio.run(calls())
    assert without_ids(tracker.events) == [*[EVENT] * 4, {**EVENT, "metadata": {"service_tier": "batch"}}]
    assert [held.outcome for held in guard.held] == [*["settled"] * 4, "released"]


def test_another_servers_answers_are_counted_apart(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("METERING_ANTHROPIC_HOSTS")
    _, (event,) = used(sandbox, lambda c: c.messages.create(**ASK))
    host = sandbox.environment()["METERING_ANTHROPIC_HOSTS"]
    assert (event["service"], event["resource_id"], event.get("external_id")) == ("anthropic_compatible", host, None)
    assert event["metadata"]["answer_id"].startswith("msg_")


def test_a_wrong_client_is_refused(sandbox: Sandbox) -> None:
    with anthropic.Anthropic(**options(sandbox)) as client:
        with pytest.raises(
            TypeError, match=r"AsyncTrackedAnthropic wraps anthropic\.AsyncAnthropic.*TrackedAnthropic is for"
        ):
            AsyncTrackedAnthropic(client, RecordingTracker())
        with pytest.raises(TypeError, match="tracked already"):
            TrackedAnthropic(TrackedAnthropic(client, RecordingTracker()), RecordingTracker())
