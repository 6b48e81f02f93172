"""Made-up OpenAI usage and costs: a project per tenant, and one project that nobody in the directory owns."""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import date
from decimal import Decimal

from sandbox.generate.cast import Cast, hex_id
from sandbox.generate.twilio import POOL
from sandbox.generate.volume import Volume
from sandbox.lists import COUNTED_LISTS, Record
from sandbox.times import day_start

# USD per million tokens: input, cached input, output (provider-facts, section 9).
PRICES = {
    "gpt-4o-mini-2024-07-18": (Decimal("0.15"), Decimal("0.075"), Decimal("0.60")),
    "gpt-4o-2024-08-06": (Decimal("2.5"), Decimal("1.25"), Decimal("10")),
    "gpt-5-mini": (Decimal("0.25"), Decimal("0.025"), Decimal("2")),
    "text-embedding-3-small": (Decimal("0.02"), Decimal(0), Decimal(0)),
}
MODEL_SHARES = {"gpt-4o-mini-2024-07-18": 0.6, "gpt-5-mini": 0.25, "gpt-4o-2024-08-06": 0.15}
EMBEDDING, EMBEDDING_SHARE = "text-embedding-3-small", 0.1
TOKENS_PER_REQUEST = 1800
MILLION = 1_000_000
# Beside completions and embeddings: what is counted, how much of it to a million tokens, and of which model.
OTHERS: dict[str, tuple[str, int, str | None]] = {
    "images": ("images", 40, "gpt-image-1"),
    "audio_speeches": ("characters", 90_000, "tts-1"),
    "audio_transcriptions": ("seconds", 6_000, "whisper-1"),
    "moderations": ("input_tokens", 50_000, "omni-moderation-2024-09-26"),
    "vector_stores": ("usage_bytes", 700_000_000, None),
    "code_interpreter_sessions": ("num_sessions", 15, None),
    "file_search_calls": ("num_requests", 60, None),
    "web_search_calls": ("num_requests", 30, "gpt-4o-mini-2024-07-18"),
}
# Of everyone. The rest is one plan's: images, which the price book has no prices of, raise alerts, and should not drown all else.
OF_EVERYONE = ("moderations",)
NO_REQUESTS = ("vector_stores", "code_interpreter_sessions", "file_search_calls")
KINDS = ("input", "cached input", "output")


def records(cast: Cast, volume: Volume, days: list[date], seed: int) -> dict[str, list[Record]]:
    """Projects, usage at the finest grain, and costs by project, key, day and line item."""
    completions: list[Record] = []
    embeddings: list[Record] = []
    costs: list[Record] = []
    others: dict[str, list[Record]] = {f"openai_usage_{name}": [] for name in OTHERS}
    owners = [(t.tenant_id, t.role, t.project_id, t.api_keys) for t in cast.tenants]
    rng = random.Random(f"{seed}:openai:pool")
    owners.append(("pool", POOL, cast.pool_project, [hex_id(rng, "key_", 16)]))
    for tenant_id, role, project, keys in owners:
        rng = random.Random(f"{seed}:openai:{tenant_id}")
        user = hex_id(rng, "user-", 24)
        for day, tokens in zip(days, volume.daily(role, "ai", days), strict=True):
            if tokens == 0:
                continue
            for number, key in enumerate(keys):
                part = tokens // len(keys) + (tokens % len(keys) if number == 0 else 0)
                owned = {"project_id": project, "user_id": user, "api_key_id": key}
                embedded = int(part * EMBEDDING_SHARE)
                if embedded:
                    embeddings.append(_embedding(day, embedded, owned))
                    costs.append(_cost(day, EMBEDDING, "input", embedded, owned))
                for record in _completions(day, part - embedded, owned, rng):
                    completions.append(record)
                    used = (
                        record["input_uncached_tokens"],
                        record["input_cached_tokens"],
                        record["output_tokens"],
                    )
                    costs += [
                        _cost(day, record["model"], kind, amount, owned)
                        for kind, amount in zip(KINDS, used, strict=True)
                        if amount
                    ]
            for name, record in _others(day, tokens, {"project_id": project, "user_id": user, "api_key_id": keys[0]}):
                if name in OF_EVERYONE or role.plan == "agency":
                    others[f"openai_usage_{name}"].append(record)
            if role.plan == "agency" and day.weekday() == 2:
                costs.append(_tool_cost(day, {"project_id": project, "api_key_id": keys[0]}))
    return {
        "openai_projects": _projects(cast),
        "openai_usage_completions": completions,
        "openai_usage_embeddings": embeddings,
        "openai_costs": costs,
        **others,
    }


def _others(day: date, tokens: int, owned: Record) -> Iterator[tuple[str, Record]]:
    """What else a project uses on a day: in proportion to its tokens, each endpoint on weekdays of its own."""
    for number, (name, (measure, per_million, model)) in enumerate(OTHERS.items()):
        amount = tokens * per_million // MILLION
        if amount == 0 or (day.weekday() + number) % 3:
            continue
        dimensions = COUNTED_LISTS[f"openai_usage_{name}"]
        details = {
            **owned,
            "model": model,
            "size": "1024x1024",
            "source": "image.generation",
            "vector_store_id": None,
            "context_level": "medium",
        }
        requests = {} if name in NO_REQUESTS else {"num_model_requests": max(1, amount // 10)}
        yield (
            name,
            {
                "date": day.isoformat(),
                measure: amount,
                **requests,
                **{dimension: details[dimension] for dimension in dimensions},
                "_sandbox": {"grows": True},
            },
        )


def _completions(day: date, tokens: int, owned: Record, rng: random.Random) -> Iterator[Record]:
    """One record a model, their tokens (input and output) summing to `tokens`."""
    left = tokens
    for model, share in reversed(MODEL_SHARES.items()):
        amount = left if model == next(iter(MODEL_SHARES)) else int(tokens * share * rng.uniform(0.7, 1.3))
        amount = min(amount, left)
        left -= amount
        if amount <= 0:
            continue
        output = int(amount * rng.uniform(0.15, 0.25))
        prompt = amount - output
        cached = int(prompt * rng.uniform(0.1, 0.4)) // 128 * 128
        yield {
            "date": day.isoformat(),
            "object": "organization.usage.completions.result",
            "input_tokens": prompt,
            "input_cached_tokens": cached,
            "input_cache_write_tokens": 0,
            "input_uncached_tokens": prompt - cached,
            "output_tokens": output,
            "input_text_tokens": prompt - cached,
            "output_text_tokens": output,
            "input_cached_text_tokens": cached,
            "input_audio_tokens": 0,
            "input_cached_audio_tokens": 0,
            "output_audio_tokens": 0,
            "input_image_tokens": 0,
            "input_cached_image_tokens": 0,
            "output_image_tokens": 0,
            "num_model_requests": -(-amount // TOKENS_PER_REQUEST),
            **owned,
            "model": model,
            "batch": False,
            "service_tier": "default",
            "_sandbox": {"grows": True},
        }


def _embedding(day: date, tokens: int, owned: Record) -> Record:
    return {
        "date": day.isoformat(),
        "object": "organization.usage.embeddings.result",
        "input_tokens": tokens,
        "num_model_requests": -(-tokens // TOKENS_PER_REQUEST),
        **owned,
        "model": EMBEDDING,
        "_sandbox": {"grows": True},
    }


def _cost(day: date, model: str, kind: str, tokens: int, owned: Record) -> Record:
    value = PRICES[model][KINDS.index(kind)] * tokens / MILLION
    return {
        "date": day.isoformat(),
        "object": "organization.costs.result",
        "amount": {"value": value.quantize(Decimal("1e-10")), "currency": "usd"},
        "line_item": f"{model}, {kind}",
        "project_id": owned["project_id"],
        "api_key_id": owned["api_key_id"],
        "quantity": tokens,
        "quantity_unit": "tokens",
        "_sandbox": {"grows": True},
    }


def _tool_cost(day: date, owned: Record) -> Record:
    """A cost of no model: the web searches of one day of the week."""
    return {
        "date": day.isoformat(),
        "object": "organization.costs.result",
        "amount": {"value": Decimal("0.0300000000"), "currency": "usd"},
        "line_item": "web search tool calls",
        **owned,
        "quantity": 3,
        "quantity_unit": None,
        "_sandbox": {"grows": True},
    }


def _projects(cast: Cast) -> list[Record]:
    created = day_start(cast.first) - 300 * 86_400
    named = [(cast.pool_project, "Default project")] + [(t.project_id, t.name) for t in cast.tenants]
    return [
        {
            "id": project,
            "object": "organization.project",
            "name": name,
            "created_at": created,
            "archived_at": None,
            "status": "active",
        }
        for project, name in named
    ]
