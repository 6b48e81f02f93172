"""Tokens written to the prompt cache, by each way in: OpenAI's buckets, a file of CloudEvents, the wrapped client. One run, one figure.

Beside them a call of Claude's with writes of both lives, which a span told, too.
"""

from __future__ import annotations

import json
from contextlib import closing
from copy import deepcopy
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx2
import openai
import pytest

from ingestion.config import IngestSettings
from ingestion.run import ingest_provider
from sandbox import Dataset, running
from tests.dbt.conftest import AS_OF, Project, window
from tests.dbt.test_settlement import OLD
from usage_metering import UsageTracker
from usage_metering.context import usage_context
from usage_metering.importing import import_events
from usage_metering.openai_client import TrackedOpenAI
from usage_metering.redact import Redactor
from usage_metering.store import Store

MODEL = "gpt-6-sol"
CALLED_AT = datetime(2026, 3, 2, 10, tzinfo=UTC)
# 200 × 2 + 2,000 × 0.2 + 400 × 2.5 + 100 × 10, by the million.
COST = Decimal("0.0028")
BUCKET: dict[str, Any] = {
    "date": OLD,
    "object": "organization.usage.completions.result",
    "input_tokens": 2_600,
    "input_cached_tokens": 2_000,
    "input_cache_write_tokens": 400,
    "input_uncached_tokens": 200,
    "output_tokens": 100,
    "num_model_requests": 1,
    "user_id": None,
    "api_key_id": "key_a",
    "model": MODEL,
    "batch": False,
    "service_tier": "default",
}
EVENT: dict[str, Any] = {
    "specversion": "1.0",
    "id": "call-1",
    "source": "urn:product",
    "type": "usage",
    "subject": "b",
    "time": CALLED_AT.isoformat(),
    "data": {
        "service": "openai",
        "operation": "chat_completion",
        "model": MODEL,
        "feature": "imported",
        "input_tokens": 2_600,
        "cached_input_tokens": 2_000,
        "cache_write_tokens": 400,
        "output_tokens": 100,
    },
}
# 200 × 2 + 2,000 × 0.2 + 100 × 2.5 + 300 × 4 + 50 × 10, by the million: Claude Sonnet 5's prices in the book.
COST_1H = Decimal("0.00275")
CLAUDE: dict[str, Any] = {
    **EVENT,
    "id": "call-2",
    "data": {
        "service": "anthropic",
        "operation": "chat_completion",
        "model": "claude-sonnet-5-20260901",
        "external_id": "msg_1",
        "input_tokens": 2_600,
        "cached_input_tokens": 2_000,
        "cache_write_tokens": 100,
        "cache_write_1h_tokens": 300,
        "output_tokens": 50,
    },
}
SPAN: dict[str, Any] = {
    **CLAUDE,
    "id": "span-1",
    "data": {
        **{name: said for name, said in CLAUDE["data"].items() if name != "cache_write_1h_tokens"},
        "cache_write_tokens": 400,
    },
}
ANSWER: dict[str, Any] = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "created": int(CALLED_AT.timestamp()),
    "model": MODEL,
    "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "yes"}}],
    "usage": {
        "prompt_tokens": 2_600,
        "completion_tokens": 100,
        "total_tokens": 2_700,
        "prompt_tokens_details": {"cached_tokens": 2_000, "cache_write_tokens": 400},
    },
}


def read_buckets(project: Project) -> None:
    """Read from OpenAI that each tenant's project, and one of nobody, made such a call."""
    tenants = "abcx"
    dataset = Dataset(
        openai_projects=[
            {"id": f"proj_{name}", "object": "organization.project", "name": name, "status": "active", "created_at": 1}
            for name in tenants
        ],
        openai_usage_completions=[{**deepcopy(BUCKET), "project_id": f"proj_{name}"} for name in tenants],
    )
    with running(dataset, now=AS_OF) as sandbox:
        settings = IngestSettings.model_validate(
            {"METERING_TENANT_DIRECTORY": "/nowhere", "METERING_PII_KEY": "key", **sandbox.environment()}
        )
        days = window(OLD, OLD)
        read = ingest_provider("openai", days, settings=settings, database_url=project.url, as_of=AS_OF)
    assert read.status == "ok"


def import_file(project: Project) -> None:
    """Import tenant b's call from a line of a file."""
    with closing(Store(project.url)) as store:
        found = import_events([json.dumps(event).encode() for event in (EVENT, CLAUDE, SPAN)], store, Redactor())
    assert found.loaded.inserted == 3


def call(project: Project, spool: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make tenant c's call through the wrapped client."""
    monkeypatch.setenv("METERING_AS_OF", CALLED_AT.isoformat())
    transport = httpx2.MockTransport(lambda _: httpx2.Response(200, json=ANSWER))
    tracker = UsageTracker(project.url, spool)
    with (
        openai.OpenAI(api_key="sk-x", http_client=openai.DefaultHttpxClient(transport=transport)) as client,
        usage_context(tenant_id="c", feature="called"),
    ):
        TrackedOpenAI(client, tracker).chat.completions.create(
            model=MODEL, messages=[{"role": "user", "content": "may I?"}]
        )
    assert tracker.flush(30)
    tracker.close()


def test_a_write_to_the_cache_costs_the_same_by_each_way_in(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project.insert(
        "tenants",
        [
            {
                "tenant_id": "c",
                "name": "Tenant c",
                "plan": "pro",
                "status": "active",
                "usage_hard_stop_enabled": False,
            }
        ],
    )
    project.insert(
        "tenant_resources",
        [{"tenant_id": "c", "provider": "openai", "resource_type": "project", "resource_id": "proj_c"}],
    )
    read_buckets(project)
    import_file(project)
    call(project, tmp_path / "spool", monkeypatch)
    project.build(OLD, OLD)
    used = (2_600, 2_000, 400, 100, 1, COST)
    assert project.execute(
        "select tenant_id, feature, input_tokens, cached_input_tokens, cache_write_tokens, output_tokens, request_count,"
        " estimated_cost_usd from marts.usage_lines where service = 'openai' order by 1"
    ) == [
        ("a", "(untracked)", *used),
        ("b", "imported", *used),
        ("c", "called", *used),
        ("unattributed", "(untracked)", *used),
    ]
    assert project.execute(
        "select tenant_id, cache_write_tokens, estimated_cost_usd from marts.usage_daily where service = 'openai' order by 1"
    ) == [(tenant, 400, COST) for tenant in ("a", "b", "c", "unattributed")]
    assert project.execute(
        "select tenant_id, input_tokens, cached_input_tokens, cache_write_tokens, cache_write_1h_tokens, output_tokens,"
        " request_count, estimated_cost_usd from marts.usage_daily where service = 'anthropic'"
    ) == [("b", 2_600, 2_000, 100, 300, 50, 1, COST_1H)]
    assert project.execute(
        'select "SubAccountId", "ConsumedQuantity", "ListCost" from marts.focus_cost_and_usage'
        " where \"x_Component\" = 'cache_write' and \"ServiceName\" = 'OpenAI API' order by 1"
    ) == [(tenant, 400, Decimal("0.001")) for tenant in ("a", "b", "c", "unattributed")]
    assert project.execute(
        'select "x_Component", "ConsumedQuantity", "ListCost", "SkuMeter" from marts.focus_cost_and_usage'
        " where \"ServiceName\" = 'Anthropic API' and \"x_Component\" like 'cache_write%' order by 1"
    ) == [
        ("cache_write", 100, Decimal("0.00025"), "Cache Write Input Tokens"),
        ("cache_write_1h", 300, Decimal("0.0012"), "Cache Write 1 Hour Input Tokens"),
    ]
