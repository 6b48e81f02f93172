"""Made-up Anthropic usage and costs: a workspace for each tenant of the largest plan, and a little in the default workspace, which is nobody's."""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import date
from decimal import Decimal

from sandbox.generate.cast import Cast, hex_id
from sandbox.generate.volume import Volume
from sandbox.lists import Record

# Cents per million tokens (Anthropic's list prices), in the order of KINDS, and the share of a day's tokens.
PRICES = {
    "claude-sonnet-4-5-20250929": (300, 30, 375, 600, 1500),
    "claude-haiku-4-5-20251001": (100, 10, 125, 200, 500),
}
SHARES = {"claude-sonnet-4-5-20250929": 0.06, "claude-haiku-4-5-20251001": 0.14}
KINDS = {
    "uncached_input_tokens": "Input Tokens",
    "cache_read_input_tokens": "Input Tokens, Cache Read",
    "cache_creation.ephemeral_5m_input_tokens": "Input Tokens, Cache Write",
    "cache_creation.ephemeral_1h_input_tokens": "Input Tokens, Cache Write (1h)",
    "output_tokens": "Output Tokens",
}
MILLION = 1_000_000
TOKENS_PER_REQUEST = 4000
CENTS_PER_SEARCH = 1
CONSOLE_TOKENS = 20_000


def records(cast: Cast, volume: Volume, days: list[date], seed: int) -> dict[str, list[Record]]:
    """Usage at the finest grain, and costs by workspace, day and line item."""
    usage: list[Record] = []
    costs: list[Record] = []
    for tenant in cast.tenants:
        if tenant.workspace_id is None:
            continue
        rng = random.Random(f"{seed}:anthropic:{tenant.tenant_id}")
        owned: Record = {"workspace_id": tenant.workspace_id, "api_key_id": hex_id(rng, "apikey_", 24)}
        for day, tokens in zip(days, volume.daily(tenant.role, "ai", days), strict=True):
            for model, share in SHARES.items():
                if tokens * share >= TOKENS_PER_REQUEST:
                    usage.append(_usage(day, model, int(tokens * share), owned, rng))
                    costs += _costs(usage[-1])
            if tokens and day.weekday() == 2:
                costs.append(_tool_cost(day, "code_execution", "Code Execution Usage", Decimal(5), owned))
    rng = random.Random(f"{seed}:anthropic:console")
    for day in days:
        if volume.scale and day.weekday() < 5:
            nobodys: Record = {"workspace_id": None, "api_key_id": None}
            usage.append(_usage(day, next(iter(SHARES)), CONSOLE_TOKENS, nobodys, rng))
            costs += _costs(usage[-1])
    return {"anthropic_usage": usage, "anthropic_costs": costs}


def _usage(day: date, model: str, tokens: int, owned: Record, rng: random.Random) -> Record:
    output = int(tokens * rng.uniform(0.15, 0.25))
    prompt = tokens - output
    read, minutes, hour = (
        int(prompt * rng.uniform(low, high)) for low, high in ((0.2, 0.4), (0.05, 0.1), (0.01, 0.03))
    )
    return {
        "date": day.isoformat(),
        **owned,
        "model": model,
        "service_tier": "standard",
        "context_window": "0-200k",
        "uncached_input_tokens": prompt - read - minutes - hour,
        "cache_read_input_tokens": read,
        "cache_creation": {"ephemeral_5m_input_tokens": minutes, "ephemeral_1h_input_tokens": hour},
        "output_tokens": output,
        "server_tool_use": {"web_search_requests": tokens // 100_000},
        "requests": -(-tokens // TOKENS_PER_REQUEST),
        "_sandbox": {"grows": True},
    }


def _costs(used: Record) -> Iterator[Record]:
    day, model = date.fromisoformat(used["date"]), used["model"]
    for (kind, label), price in zip(KINDS.items(), PRICES[model], strict=True):
        outer, _, inner = kind.partition(".")
        tokens = used[outer][inner] if inner else used[outer]
        family = model.split("-")[1].title()
        description = f"Claude {family} 4.5 Usage - {label}"
        told = {"model": model, "token_type": kind, "service_tier": "standard", "context_window": "0-200k"}
        amount = Decimal(price * tokens) / MILLION
        yield {**_tool_cost(day, "tokens", description, amount, used), **told}
    searches = used["server_tool_use"]["web_search_requests"]
    if searches:
        yield _tool_cost(day, "web_search", f"Web Search Usage - {model}", Decimal(CENTS_PER_SEARCH * searches), used)


def _tool_cost(day: date, cost_type: str, description: str, cents: Decimal, owned: Record) -> Record:
    return {
        "date": day.isoformat(),
        "workspace_id": owned["workspace_id"],
        "description": description,
        "cost_type": cost_type,
        "token_type": None,
        "model": None,
        "service_tier": None,
        "context_window": None,
        "amount": cents.quantize(Decimal("1e-6")),
        "currency": "USD",
        "_sandbox": {"grows": True},
    }
