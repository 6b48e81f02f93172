"""What LiteLLM and LangChain hand over becomes the wrapped client's event. Their real packages run in tests/sdk/test_frameworks.py."""

from __future__ import annotations

import asyncio
import base64
import sys
from types import SimpleNamespace
from typing import Any

import openai
import pytest

from usage_metering import litellm_callback, track_langchain, usage_context
from usage_metering.guard import CAP_REACHED
from usage_metering.openai_client import AsyncTrackedOpenAI, TrackedOpenAI
from wrapping import RecordingTracker, stand_in_for_litellm

USAGE = {
    "prompt_tokens": 100,
    "completion_tokens": 80,
    "prompt_tokens_details": {"cached_tokens": 40},
    "completion_tokens_details": {"reasoning_tokens": 64},
}
PACKED = "resp_" + base64.b64encode(b"litellm:custom_llm_provider:openai;model_id:None;response_id:resp_77").decode()


class HTTPException(Exception):
    def __init__(self, status_code: int, detail: str) -> None:
        super().__init__(detail)
        self.status_code = status_code


@pytest.fixture(autouse=True)
def _litellm(monkeypatch: pytest.MonkeyPatch) -> None:
    stand_in_for_litellm(monkeypatch)
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)


def call(**changes: Any) -> dict[str, Any]:
    told: dict[str, Any] = {
        "litellm_call_id": "call-1",
        "call_type": "completion",
        "custom_llm_provider": "openai",
        "model": "gpt-5-mini",
        "litellm_params": {"api_base": "https://api.openai.com/v1", "metadata": {}},
        "response_cost": 0.00016225,
        "stream": False,
    }
    return {**told, **changes}


def recorded(told: dict[str, Any], answer: Any, tenants: dict[str, str] | None = None) -> list[dict[str, Any]]:
    tracker = RecordingTracker()
    callback = litellm_callback(tracker, tenants=tenants)
    with usage_context(tenant_id="acme", feature="chat"):
        callback.log_pre_api_call("gpt-5-mini", [], told)
    # LiteLLM tells of it later, elsewhere: the context is the call's.
    callback.log_success_event(told, answer, None, None)
    return tracker.events


def answer(**changes: Any) -> SimpleNamespace:
    return SimpleNamespace(**{"id": "chatcmpl-1", "model": "gpt-5-mini-2026", "usage": USAGE, **changes})


def test_a_call_is_the_event_that_the_wrapped_client_makes() -> None:
    [event] = recorded(call(), answer())
    assert event == {
        "tenant_id": "acme",
        "feature": "chat",
        "service": "openai",
        "operation": "chat_completion",
        "channel": "ai",
        "direction": "outbound",
        "model": "gpt-5-mini-2026",
        "units": 180,
        "input_tokens": 100,
        "cached_input_tokens": 40,
        "output_tokens": 80,
        "external_id": "chatcmpl-1",
        "seen_by": "litellm",
        "metadata": {"reasoning_tokens": 64, "response_cost": "0.00016225"},
    }


@pytest.mark.parametrize(
    ("told", "answered", "expected"),
    [
        (call(call_type="responses"), answer(id=PACKED), {"external_id": "resp_77"}),
        (call(call_type="aresponses", stream=True), answer(id="resp_78"), {"external_id": "resp_78"}),
        (
            call(
                call_type="aembedding",
                litellm_params={
                    "metadata": {"hidden_params": {"additional_headers": {"llm_provider-x-request-id": "req_9"}}}
                },
            ),
            SimpleNamespace(model="text-embedding-3-small", usage={"prompt_tokens": 7, "completion_tokens": 0}),
            {"external_id": "req_9", "operation": "embedding", "units": 7},
        ),
        (
            call(custom_llm_provider="azure", litellm_params={"api_base": "https://acme.openai.azure.com"}),
            answer(),
            {"service": "azure_openai", "resource_id": "acme.openai.azure.com"},
        ),
        (
            call(custom_llm_provider="anthropic", litellm_params={}, stream=True, response_cost=None),
            answer(
                model="claude-sonnet-4-5",
                usage={
                    "prompt_tokens": 100,
                    "completion_tokens": 80,
                    "prompt_tokens_details": {
                        "cached_tokens": 40,
                        "cache_creation_tokens": 30,
                        "cache_creation_token_details": {
                            "ephemeral_5m_input_tokens": 20,
                            "ephemeral_1h_input_tokens": 10,
                        },
                    },
                },
            ),
            {
                "service": "anthropic",
                "model": "claude-sonnet-4-5",
                "units": 180,
                "input_tokens": 100,
                "cached_input_tokens": 40,
                "cache_write_tokens": 20,
                "cache_write_1h_tokens": 10,
                "external_id": "chatcmpl-1",
            },
        ),
        (
            call(custom_llm_provider="anthropic", litellm_params={"api_base": "https://claude.internal"}),
            answer(),
            {"service": "anthropic_compatible", "resource_id": "claude.internal"},
        ),
        (
            call(custom_llm_provider="hosted_vllm", litellm_params={"api_base": "http://gpu:9000/v1"}),
            answer(id="1"),
            {
                "service": "openai_compatible",
                "resource_id": "hosted_vllm",
                "metadata": {"answer_id": "1", "reasoning_tokens": 64, "response_cost": "0.00016225"},
            },
        ),
        (
            call(stream=True),
            answer(),
            {"metadata": {"estimated": True, "reasoning_tokens": 64, "response_cost": "0.00016225"}},
        ),
        (
            call(stream=True, stream_options={"include_usage": True}, response_cost=None),
            answer(),
            {"metadata": {"reasoning_tokens": 64}},
        ),
    ],
    ids=[
        "responses",
        "streamed responses",
        "embedding",
        "azure",
        "Anthropic, streamed",
        "Anthropic-compatible",
        "another vendor",
        "stream counted by LiteLLM",
        "stream",
    ],
)
def test_what_a_call_was(told: dict[str, Any], answered: Any, expected: dict[str, Any]) -> None:
    [event] = recorded(told, answered)
    assert event.items() >= expected.items()


def test_an_id_that_the_proxy_has_encrypted_stays_as_the_client_sees_it() -> None:
    """So both of them name the same use."""
    sealed = "resp_UWBObDznBJyVqCMJdbysTdd80DvTJd7VJRmM-3K3TSPLWFrC_ruIIexYkNyynHhNyNHI2-FB7pW_HW3AUBzM0MRjC53="
    [event] = recorded(call(call_type="aresponses"), answer(id=sealed))
    assert event["external_id"] == sealed


@pytest.mark.parametrize(
    ("told", "answered"),
    [
        (call(cache_hit=True), answer()),
        (call(call_type="image_generation"), answer()),
        (call(), answer(usage=None)),
        (call(stream=True), answer(usage={"prompt_tokens": 0, "completion_tokens": 0})),
        (call(), object()),
        ({"litellm_params": 5}, answer()),
    ],
    ids=["answered by a cache", "no tokens", "no usage", "counted as nothing", "rubbish", "rubbish call"],
)
def test_what_is_no_use_of_tokens_is_no_event(told: dict[str, Any], answered: Any) -> None:
    assert recorded(told, answered) == []


@pytest.mark.parametrize(
    ("names", "tenant"),
    [
        ({"user_api_key_team_id": "team-1", "user_api_key_end_user_id": "someone"}, "globex"),
        ({"user_api_key_end_user_id": "someone"}, "initech"),
        ({"user_api_key_team_id": "unknown"}, "acme"),
        ({"tenant_id": "globex"}, "acme"),
    ],
    ids=["team before end user", "end user", "unknown: the context's", "what the caller says"],
)
def test_whose_call_it_was(names: dict[str, str], tenant: str) -> None:
    told = call(litellm_params={"metadata": names})
    [event] = recorded(told, answer(), tenants={"team-1": "globex", "someone": "initech"})
    assert event["tenant_id"] == tenant


class Caps:
    """A guard that has room for one tenant only."""

    def __init__(self) -> None:
        self.asked: list[tuple[Any, ...]] = []

    def check(self, *question: Any) -> SimpleNamespace:
        self.asked.append(question)
        return SimpleNamespace(allowed=question[0] == "globex")


def test_the_proxy_refuses_before_anything_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "fastapi", SimpleNamespace(HTTPException=HTTPException))
    guard = Caps()
    callback = litellm_callback(RecordingTracker(), guard, tenants={"team-1": "globex", "team-2": "initech"})  # type: ignore[arg-type]
    body = {"messages": [{"role": "user", "content": "hi"}], "max_tokens": 50}

    def ask(team: str) -> None:
        asyncio.run(callback.async_pre_call_hook(SimpleNamespace(team_id=team), None, body, "completion"))

    ask("team-1")
    with pytest.raises(HTTPException, match=CAP_REACHED) as refused:
        ask("team-2")
    assert refused.value.status_code == 429
    ask("nobody's")
    assert [(tenant, channel) for tenant, channel, _ in guard.asked] == [("globex", "ai"), ("initech", "ai")]
    assert all(50 < units < 80 for _, _, units in guard.asked)


class Chat:
    """As ChatOpenAI keeps its clients."""

    def __init__(self, **clients: Any) -> None:
        vars(self).update(clients)

    def model_copy(self, update: dict[str, Any]) -> Chat:
        return Chat(**{**vars(self), **update})


def test_each_client_of_a_langchain_model_is_wrapped() -> None:
    sync, asynchronous = openai.OpenAI(api_key="k"), openai.AsyncOpenAI(api_key="k")
    model = Chat(
        client=sync.chat.completions,
        async_client=asynchronous.chat.completions,
        root_client=sync,
        root_async_client=asynchronous,
    )
    tracked: Any = track_langchain(model, RecordingTracker())
    assert isinstance(tracked.root_client, TrackedOpenAI)
    assert isinstance(tracked.root_async_client, AsyncTrackedOpenAI)
    assert isinstance(tracked.client._client, TrackedOpenAI)
    assert isinstance(tracked.async_client._client, AsyncTrackedOpenAI)
    assert model.root_client is sync
    with pytest.raises(TypeError, match="tracked already"):
        track_langchain(tracked, RecordingTracker())
    embeddings: Any = track_langchain(
        Chat(client=sync.embeddings, async_client=asynchronous.embeddings), RecordingTracker()
    )
    assert isinstance(embeddings.client._client, TrackedOpenAI)
    with pytest.raises(TypeError, match="ChatOpenAI and OpenAIEmbeddings"):
        track_langchain(Chat(client=None), RecordingTracker())
