"""OpenAI's published prices, as the package genai-prices has them: offline data, with their history. No call is made."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time
from decimal import Decimal
from importlib.metadata import version
from typing import Any

from costs.rules.price_book import LONG_CONTEXT

PER = Decimal(1_000_000)
COMPONENT_FIELDS = {
    "input": "input_mtok",
    "cached_input": "cache_read_mtok",
    "cache_write": "cache_write_mtok",
    "cache_write_1h": "cache_write_1h_mtok",
    "output": "output_mtok",
}
TIER_CONTEXTS = {
    "batch": {"processing": "batch"},
    "flex": {"service_tier": "flex"},
    "priority": {"service_tier": "priority"},
}
"""Tier -> what genai-prices calls it. A context that it does not know is the full price, unsaid."""
LONG_FROM = 272_000
"""Input tokens above which a call of a model that has such prices costs more, whole."""
# Their tokens are not all text, and one price of a token would misprice them.
OTHER_MEDIA = ("audio", "image", "realtime", "transcribe", "tts", "live", "whisper")


Versions = Sequence[tuple[date | None, Any]]


@dataclass(frozen=True)
class Period:
    """A component's price per million tokens from ``start`` on; None: for all that is known."""

    start: date | None
    price_usd: Decimal
    has_tiers: bool = False


@dataclass(frozen=True)
class PublishedModel:
    """A text model and, by component, its prices in the order of their start; ``tiers`` has those of each tier in the same way."""

    name: str
    operation: str
    components: dict[str, tuple[Period, ...]]
    tiers: dict[str, dict[str, tuple[Period, ...]]] = field(default_factory=dict)


class UnknownModel(Exception):
    """genai-prices has no text prices of that model."""


def source() -> str:
    """Return what the book says of where these figures are from."""
    return f"OpenAI list price (genai-prices {version('genai-prices')})"


def published_models(names: Sequence[str] = ()) -> list[PublishedModel]:
    """Return the text models of OpenAI, or those that ``names`` ask for (an alias takes its model's prices).

    Raises:
        UnknownModel: a name of ``names`` is not a text model of OpenAI.
    """
    from genai_prices.data_snapshot import get_snapshot

    models = next(provider for provider in get_snapshot().providers if provider.id == "openai").models
    if names:
        return [_named(models, name) for name in names]
    # An id that its own rule does not know is a family's (as is one that ends in a hyphen), not a name that usage comes under.
    published = (
        _text_model(model, model.id)
        for model in models
        if model.is_match(model.id) and not model.id.endswith("-") and ":" not in model.id
    )
    return [model for model in published if model is not None]


def _named(models: Iterable[Any], name: str) -> PublishedModel:
    model = next((model for model in models if model.is_match(name)), None)
    published = _text_model(model, name) if model is not None else None
    if published is None:
        raise UnknownModel(f"genai-prices {version('genai-prices')} has no text prices of OpenAI's model {name}")
    return published


def _text_model(model: Any, name: str) -> PublishedModel | None:
    prices = model.prices if isinstance(model.prices, list) else [None]
    versions: list[tuple[date | None, Any]] = []
    for entry in prices:
        if entry is None:
            versions.append((None, model.prices))
        elif entry.constraint is None or hasattr(entry.constraint, "start_date"):
            versions.append((getattr(entry.constraint, "start_date", None), entry.prices))
    if not versions or any(word in model.id or word in name for word in OTHER_MEDIA):
        return None
    components = _components(versions)
    is_embedding = "embedding" in model.id
    if "input" not in components or ("output" in components) == is_embedding:
        return None
    return PublishedModel(name, "embedding" if is_embedding else "chat_completion", components, _tiers(model, versions))


def _tiers(model: Any, versions: Versions) -> dict[str, dict[str, tuple[Period, ...]]]:
    """Return the prices that are the model's own in a tier, whole: what a tier says nothing of costs what it costs without."""
    tiers = {LONG_CONTEXT: _long(versions)}
    for tier, context in TIER_CONTEXTS.items():
        starts = [start for start, when in _variants(model) if when == context]
        if not starts:
            continue
        # Where it has begun, it changes with the price that it is a variant of as well; one without a start has always been.
        first = None if None in starts else min(start for start in starts if start)
        later = {
            start for start in (*starts, *(start for start, _ in versions)) if start and (not first or start > first)
        }
        days = [first, *sorted(later)]
        steps = [(day, model.get_prices(_noon(day), context)) for day in days]
        if any(prices != model.get_prices(_noon(day)) for day, prices in steps):
            tiers |= {tier: _components(steps), f"{tier}_{LONG_CONTEXT}": _long(steps)}
    return {tier: components for tier, components in tiers.items() if components}


def _variants(model: Any) -> Iterable[tuple[date | None, Mapping[str, str]]]:
    for variant in model.price_variants or ():
        yield getattr(variant.constraint, "start_date", None), variant.when


def _noon(day: date | None) -> datetime:
    return datetime.combine(day or date(2000, 1, 1), time(12), UTC)


def _components(versions: Versions, price_of: Callable[[Any], Decimal] | None = None) -> dict[str, tuple[Period, ...]]:
    components = {}
    for component, name in COMPONENT_FIELDS.items():
        prices = [(start, getattr(price, name, None)) for start, price in versions]
        periods = tuple(_period(start, price, price_of) for start, price in prices if price is not None)
        if periods:
            components[component] = _steps(periods)
    return components


def _long(versions: Versions) -> dict[str, tuple[Period, ...]]:
    """Return the prices of a call above `LONG_FROM`; none where its length makes no difference."""
    if not any(_rises(getattr(price, name, None)) for _, price in versions for name in COMPONENT_FIELDS.values()):
        return {}
    return _components(versions, lambda price: _rises(price) or getattr(price, "base", price))


def _rises(price: Any) -> Decimal | None:
    tiers = getattr(price, "tiers", None) or ()
    return next((tier.price for tier in tiers if tier.start == LONG_FROM), None)


def _period(start: date | None, price: Any, price_of: Callable[[Any], Decimal] | None) -> Period:
    if price_of is not None:
        return Period(start, price_of(price))
    if isinstance(price, Decimal):
        return Period(start, price)
    # Prices that rise with the length of the context: that of the first tier, and for long ones see `_long`.
    return Period(start, price.base, has_tiers=True)


def _steps(periods: tuple[Period, ...]) -> tuple[Period, ...]:
    """Return the periods in the order of their start, without those that change nothing."""
    steps: list[Period] = []
    for period in sorted(periods, key=lambda period: period.start or date.min):
        if not steps or steps[-1].price_usd != period.price_usd:
            steps.append(period)
    return tuple(steps)
