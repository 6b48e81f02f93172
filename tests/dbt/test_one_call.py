"""One call that wrapper, span, LiteLLM and provider all tell of: one line, the provider's figures, the product's feature."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx2
import openai
import pytest
from fastapi.testclient import TestClient

from api.auth.tokens import mint_tracker
from collector.main import create_app
from tests.dbt.conftest import Project
from tests.dbt.test_settlement import OLD
from usage_metering import UsageTracker, litellm_callback, usage_context
from usage_metering.openai_client import TrackedOpenAI
from wrapping import stand_in_for_litellm

SECRET = "a secret of the tests, long enough"
CALLED_AT = datetime(2026, 3, 2, 10, tzinfo=UTC)
MODEL = "gpt-4o-mini-2024-07-18"
USAGE = {
    "prompt_tokens": 1_000,
    "completion_tokens": 50,
    "total_tokens": 1_050,
    "prompt_tokens_details": {"cached_tokens": 400},
}
ANSWER = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "created": int(CALLED_AT.timestamp()),
    "model": MODEL,
    "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "yes"}}],
    "usage": USAGE,
}
SPAN = {
    "gen_ai.operation.name": "chat",
    "gen_ai.provider.name": "openai",
    "gen_ai.response.model": MODEL,
    "gen_ai.response.id": "chatcmpl-1",
    "gen_ai.usage.input_tokens": 1_000,
    "gen_ai.usage.output_tokens": 50,
    "gen_ai.usage.cache_read.input_tokens": 400,
    "metering.tenant_id": "a",
}


@pytest.fixture
def at_the_call(project: Project, monkeypatch: pytest.MonkeyPatch) -> Project:
    """The clock and settings of product and collector."""
    monkeypatch.setenv("METERING_JWT_SECRET", SECRET)
    monkeypatch.setenv("METERING_PII_KEY", "a key for tests")
    monkeypatch.setenv("METERING_AS_OF", CALLED_AT.isoformat())
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    stand_in_for_litellm(monkeypatch)
    return project


def by_the_wrapper(project: Project, spool: Path) -> None:
    transport = httpx2.MockTransport(lambda _: httpx2.Response(200, json=ANSWER))
    with (
        UsageTracker(project.url, spool) as tracker,
        openai.OpenAI(api_key="sk-x", http_client=openai.DefaultHttpxClient(transport=transport)) as client,
        usage_context(tenant_id="a", feature="support_chat"),
    ):
        TrackedOpenAI(client, tracker).chat.completions.create(
            model=MODEL, messages=[{"role": "user", "content": "may I?"}]
        )
        assert tracker.flush(30)


def by_litellm(project: Project, spool: Path) -> None:
    """As LiteLLM's proxy tells it: a process of its own, which knows the key's tenant and no feature."""
    with UsageTracker(project.url, spool) as tracker:
        litellm_callback(tracker, tenants={"team-a": "a"}).log_success_event(
            {
                "litellm_call_id": "call-1",
                "call_type": "completion",
                "custom_llm_provider": "openai",
                "model": MODEL,
                "litellm_params": {
                    "api_base": "https://api.openai.com/v1",
                    "metadata": {"user_api_key_team_id": "team-a"},
                },
            },
            SimpleNamespace(id="chatcmpl-1", model=MODEL, usage=USAGE),
            None,
            None,
        )
        assert tracker.flush(30)


def by_a_span(project: Project, _: Path) -> None:
    span = {
        "traceId": "1" * 32,
        "spanId": "1" * 16,
        "endTimeUnixNano": str(int(CALLED_AT.timestamp()) * 10**9),
        "attributes": [
            {"key": key, "value": {"stringValue": value} if isinstance(value, str) else {"intValue": str(value)}}
            for key, value in SPAN.items()
        ],
    }
    body = {"resourceSpans": [{"scopeSpans": [{"spans": [span]}]}]}
    bearer = {"authorization": f"Bearer {mint_tracker((), (), timedelta(hours=1), SECRET)}"}
    with TestClient(create_app(), headers=bearer) as client:
        answer = client.post(
            "/v1/traces", content=json.dumps(body).encode(), headers={"content-type": "application/json"}
        )
    assert (answer.status_code, answer.json()) == (200, {})


LINES = (
    "select tenant_id, feature, evidence, input_tokens, cached_input_tokens, output_tokens, request_count"
    " from marts.usage_lines where service = 'openai'"
)


@pytest.mark.parametrize("ways", [(by_the_wrapper, by_litellm, by_a_span), (by_a_span, by_litellm, by_the_wrapper)])
def test_a_call_that_four_tell_of_is_one_line(
    at_the_call: Project, tmp_path: Path, ways: Sequence[Callable[[Project, Path], None]]
) -> None:
    project = at_the_call
    for number, way in enumerate(ways):
        way(project, tmp_path / str(number))
        assert project.execute("select tenant_id, units, requests from ops.live_usage") == [("a", 1_050, 1)], way
    bucket: dict[str, Any] = {
        "usage_date": OLD,
        "load_id": "test",
        "account_id": "org",
        "project_id": "proj_a",
        "model": MODEL,
        "input_tokens": 1_000,
        "cached_input_tokens": 400,
        "output_tokens": 50,
        "num_model_requests": 1,
    }
    assert project.execute("select count(*) from raw.rejected_records") == [(0,)]
    project.insert("openai_usage_completions", [bucket])
    project.build(OLD, OLD)
    assert project.execute(LINES) == [("a", "support_chat", "provider", 1_000, 400, 50, 1)]
