"""Whose servers a client talks to decides what its usage is called, and what it is settled with."""

from __future__ import annotations

import logging
from types import SimpleNamespace
from typing import Any

import httpx2
import openai
import pytest

from usage_metering import openai_host
from usage_metering.openai_client import TrackedOpenAI
from usage_metering.openai_host import Server, server_of
from wrapping import RecordingTracker


@pytest.fixture(autouse=True)
def _plain(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OPENAI_ADMIN_KEY", "OPENAI_BASE_URL", openai_host.HOSTS_VARIABLE):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(openai_host, "_warned", set())


@pytest.mark.parametrize(
    ("base_url", "expected"),
    [
        ("https://api.openai.com/v1", Server("openai", "api.openai.com")),
        ("https://eu.api.openai.com/v1/", Server("openai", "eu.api.openai.com")),
        ("https://API.OpenAI.com:443/v1", Server("openai", "api.openai.com")),
        ("https://acme.openai.azure.com/openai/v1/", Server("azure_openai", "acme.openai.azure.com")),
        ("https://acme.services.ai.azure.com/openai/v1/", Server("azure_openai", "acme.services.ai.azure.com")),
        ("https://acme.cognitiveservices.azure.com/openai", Server("azure_openai", "acme.cognitiveservices.azure.com")),
        ("http://localhost:11434/v1", Server("openai_compatible", "localhost:11434")),
        ("https://openrouter.ai/api/v1", Server("openai_compatible", "openrouter.ai")),
        ("https://api.openai.com.example.net/v1", Server("openai_compatible", "api.openai.com.example.net")),
        ("https://notapi.openai.com/v1", Server("openai_compatible", "notapi.openai.com")),
        ("https://us:secret@gateway.example/v1", Server("openai_compatible", "gateway.example")),
        ("http://x:99999/v1", Server("openai_compatible", "x")),
        ("", Server("openai_compatible", "")),
    ],
)
def test_the_host_decides(base_url: str, expected: Server) -> None:
    assert server_of(SimpleNamespace(base_url=base_url)) == expected


def test_what_the_deployment_says_is_openai(monkeypatch: pytest.MonkeyPatch) -> None:
    here, gateway = (SimpleNamespace(base_url=url) for url in ("http://127.0.0.1:8010/v1", "https://gw.example/oai"))
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:8010/v1")
    assert not server_of(here).is_openai  # of a product that calls its own server, nobody asks for usage
    monkeypatch.setenv("OPENAI_ADMIN_KEY", "sk-admin")
    assert server_of(here).is_openai
    assert not server_of(gateway).is_openai
    monkeypatch.setenv(openai_host.HOSTS_VARIABLE, "other.example, GW.example")
    assert server_of(gateway).is_openai


def answering(kind: Any, answer_id: str, **more: Any) -> Any:
    usage = {"prompt_tokens": 9, "completion_tokens": 5, "total_tokens": 14}
    answer = {"id": answer_id, "model": "gpt-4o-mini", "choices": [], "usage": usage}
    transport = httpx2.MockTransport(lambda _: httpx2.Response(200, json=answer, headers={"openai-project": "proj_x"}))
    return kind(api_key="x", http_client=openai.DefaultHttpxClient(transport=transport), **more)


AZURE = {"azure_endpoint": "https://gw.example", "api_version": "2026-01-01"}
CHAT: Any = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "x"}]}


def test_azure_is_a_service_of_its_own() -> None:
    tracker = RecordingTracker()
    TrackedOpenAI(answering(openai.AzureOpenAI, "chatcmpl-1", **AZURE), tracker).chat.completions.create(**CHAT)
    event = tracker.only
    assert (event["service"], event["operation"], event["channel"]) == ("azure_openai", "chat_completion", "ai")
    assert (event["resource_id"], event["external_id"], event["units"]) == ("gw.example", "chatcmpl-1", 14)


def test_an_id_that_a_compatible_server_makes_up_makes_no_two_calls_one() -> None:
    tracker = RecordingTracker()
    tracked = TrackedOpenAI(answering(openai.OpenAI, "chatcmpl-42", base_url="http://localhost:11434/v1"), tracker)
    for _ in range(2):
        tracked.chat.completions.create(**CHAT)
    assert len(tracker.events) == 2
    for event in tracker.events:
        assert (event["service"], event["resource_id"]) == ("openai_compatible", "localhost:11434")
        assert "external_id" not in event
        assert event["metadata"] == {"answer_id": "chatcmpl-42"}


def test_it_is_said_once_when_a_client_is_wrapped(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "metering.tracking")
    for _ in range(2):
        tracked = TrackedOpenAI(answering(openai.AzureOpenAI, "chatcmpl-1", **AZURE), RecordingTracker())
        tracked.with_options(timeout=1)
        TrackedOpenAI(openai.OpenAI(api_key="sk-x"), RecordingTracker())
    (message,) = caplog.messages
    assert message == (
        "calls to gw.example are recorded as azure_openai, apart from OpenAI's own usage; if it leads to OpenAI, name it in"
        " METERING_OPENAI_HOSTS"
    )


def test_a_copy_with_another_address_is_another_server() -> None:
    tracker = RecordingTracker()
    tracked = TrackedOpenAI(answering(openai.OpenAI, "chatcmpl-1"), tracker)
    tracked.chat.completions.create(**CHAT)
    tracked.with_options(base_url="http://localhost:8000/v1").chat.completions.create(**CHAT)
    assert [event["service"] for event in tracker.events] == ["openai", "openai_compatible"]
    assert [event["resource_id"] for event in tracker.events] == ["proj_x", "localhost:8000"]
