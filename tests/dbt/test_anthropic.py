"""Anthropic's sums and costs from raw rows to marts: settled with what was tracked, requests that nobody counts, tiers, and what is billed."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from tests.dbt.conftest import Project
from tests.dbt.test_settlement import OLD, answered, states

PRIORITY_DAY = "2026-03-04"
SONNET, HAIKU = "claude-sonnet-4-5-20250929", "claude-haiku-4-5-20251001"


def used(project: Project, day: str, model: str, uncached: int, output: int = 0, **columns: object) -> None:
    """Store a day's tokens of a workspace: all uncached, unless ``columns`` say otherwise; the report counts no requests."""
    row = {
        "usage_date": day,
        "account_id": "default",
        "workspace_id": "wrkspc_a",
        "api_key_id": "apikey_a",
        "model": model,
        "uncached_input_tokens": uncached,
        "cache_read_input_tokens": 0,
        "ephemeral_5m_input_tokens": 0,
        "ephemeral_1h_input_tokens": 0,
        "output_tokens": output,
        "web_search_requests": 0,
        "load_id": "test",
        **columns,
    }
    project.insert("anthropic_usage", [row])


def billed(project: Project, day: str, item: str, dollars: str, model: str = "", **columns: object) -> None:
    """Store a line item of a workspace's day."""
    row = {
        "usage_date": day,
        "account_id": "default",
        "workspace_id": "wrkspc_a",
        "line_item": item,
        "model": model,
        "currency": "usd",
        "amount": dollars,
        "load_id": "test",
        **columns,
    }
    project.insert("anthropic_costs", [row])


def message(project: Project, key: str, tokens: int, **columns: object) -> None:
    project.completion(
        key,
        f"{OLD} 10:00:00",
        tokens,
        **{"service": "anthropic", "source": "anthropic", "model": "claude-sonnet-4-5", "feature": "chat", **columns},
    )


def world(project: Project) -> None:
    """Insert what a and b used and tracked: a has a workspace, b a key in the default one, which is nobody's else."""
    owned = (("a", "workspace", "wrkspc_a"), ("b", "api_key", "apikey_b"))
    project.insert(
        "tenant_resources",
        [
            {"tenant_id": tenant, "provider": "anthropic", "resource_type": kind, "resource_id": key}
            for tenant, kind, key in owned
        ],
    )
    cached = {"cache_read_input_tokens": 200, "ephemeral_5m_input_tokens": 300, "ephemeral_1h_input_tokens": 500}
    used(project, OLD, SONNET, 1_000, 100, web_search_requests=2, **cached)
    used(project, OLD, SONNET, 300_000, 1_000, tier="long_context")
    used(project, OLD, HAIKU, 1_000, workspace_id="", api_key_id="apikey_b")
    used(project, OLD, HAIKU, 50, workspace_id="", api_key_id="")
    used(project, PRIORITY_DAY, SONNET, 400, tier="priority")
    billed(project, OLD, "Claude Sonnet 4.5 Usage - Input Tokens", "0.02", SONNET)
    billed(project, OLD, "Claude Sonnet 4.5 Usage - Input Tokens", "3", SONNET, tier="long_context")
    billed(project, OLD, "Web Search Usage", "0.03")
    billed(project, OLD, "Claude Haiku 4.5 Usage - Input Tokens", "0.0021", HAIKU, workspace_id="")
    billed(project, PRIORITY_DAY, "Code Execution Usage", "0.05")
    for day in (OLD, PRIORITY_DAY):
        for table in ("anthropic_usage", "anthropic_costs"):
            answered(project, table, "default", day)
    split = {"cached_input_tokens": 200, "cache_write_tokens": 300, "cache_write_1h_tokens": 500, "output_tokens": 100}
    message(project, "short", 2_000, units=2_100, **split)
    message(project, "long", 250_000)


def test_anthropic_is_settled_billed_and_reconciled(project: Project) -> None:
    world(project)
    project.build_and_test(OLD, PRIORITY_DAY)

    def cells(columns: str, where: str) -> list[tuple[Any, ...]]:
        return project.execute(f"select {columns} from marts.usage_daily where {where} order by 1, 2, 3")

    by_cell = (
        "tenant_id, feature, operation, sum(unit_count)::bigint, sum(request_count)::bigint, sum(estimated_cost_usd)"
    )
    assert cells(by_cell, f"date = '{OLD}' group by 1, 2, 3") == [
        # What was not tracked of the long calls: 50,000 in, 1,000 out. Nobody counted the calls.
        ("a", "(untracked)", "chat_completion", 51_000, 0, Decimal("0.3225")),
        ("a", "(untracked)", "web_search_call", 2, 2, Decimal("0.02")),
        # By the million: 1,000 × 3 + 200 × 0.3 + 300 × 3.75 + 500 × 6 + 100 × 15, and 250,000 × 6 of the long one.
        ("a", "chat", "chat_completion", 252_100, 2, Decimal("1.508685")),
        ("b", "(untracked)", "chat_completion", 1_000, 0, Decimal("0.001")),
        ("unattributed", "(untracked)", "chat_completion", 50, 0, Decimal("0.00005")),
    ]
    # Each item to its tier and tool; the default workspace's to whoever used it.
    assert cells("tenant_id, feature, operation, sum(billed_cost_usd)", f"date = '{OLD}' group by 1, 2, 3") == [
        ("a", "(untracked)", "chat_completion", Decimal("0.530864197530864198")),
        ("a", "(untracked)", "web_search_call", Decimal("0.03")),
        ("a", "chat", "chat_completion", Decimal("2.489135802469135802")),
        ("b", "(untracked)", "chat_completion", Decimal("0.002")),
        ("unattributed", "(untracked)", "chat_completion", Decimal("0.0001")),
    ]
    # What the priority tier costs is in no report; code execution is in costs alone.
    assert cells("tenant_id, model, unit_count::bigint, billed_cost_usd", f"date = '{PRIORITY_DAY}'") == [
        ("a", "", 0, Decimal("0.05")),
        ("a", SONNET, 400, None),
    ]
    assert states(project) == {
        ("a", OLD, "anthropic"): "partly_tracked",
        ("b", OLD, "anthropic"): "provider_only",
        ("unattributed", OLD, "anthropic"): "provider_only",
        ("a", PRIORITY_DAY, "anthropic"): "provider_only",
    }
    assert project.execute('select distinct "ProviderName" from marts.focus_cost_and_usage') == [("Anthropic",)]
