"""OpenAI's published prices, as the package genai-prices has them: offline data, with their history. No call is made."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from importlib.metadata import version
from typing import Any

PER = Decimal(1_000_000)
COMPONENT_FIELDS = {
    "input": "input_mtok",
    "cached_input": "cache_read_mtok",
    "cache_write": "cache_write_mtok",
    "output": "output_mtok",
}
# Their tokens are not all text, and one price of a token would misprice them.
OTHER_MEDIA = ("audio", "image", "realtime", "transcribe", "tts", "live", "whisper")


@dataclass(frozen=True)
class Period:
    """A component's price per million tokens from ``start`` on; None: for all that is known."""

    start: date | None
    price_usd: Decimal
    has_tiers: bool = False


@dataclass(frozen=True)
class PublishedModel:
    """A text model and, by component, its prices in the order of their start."""

    name: str
    operation: str
    components: dict[str, tuple[Period, ...]]


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
    found = (
        _text_model(model, model.id)
        for model in models
        if model.is_match(model.id) and not model.id.endswith("-") and ":" not in model.id
    )
    return [model for model in found if model is not None]


def _named(models: Iterable[Any], name: str) -> PublishedModel:
    model = next((model for model in models if model.is_match(name)), None)
    found = _text_model(model, name) if model is not None else None
    if found is None:
        raise UnknownModel(f"genai-prices {version('genai-prices')} has no text prices of OpenAI's model {name}")
    return found


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
    components = {}
    for component, field in COMPONENT_FIELDS.items():
        periods = tuple(
            _period(start, getattr(price, field)) for start, price in versions if getattr(price, field) is not None
        )
        if periods:
            components[component] = _steps(periods)
    is_embedding = "embedding" in model.id
    if "input" not in components or ("output" in components) == is_embedding:
        return None
    return PublishedModel(name, "embedding" if is_embedding else "chat_completion", components)


def _period(start: date | None, price: Any) -> Period:
    if isinstance(price, Decimal):
        return Period(start, price)
    # Prices that rise with the length of the context: the book has one, that of the first tier.
    return Period(start, price.base, has_tiers=True)


def _steps(periods: tuple[Period, ...]) -> tuple[Period, ...]:
    """Return the periods in the order of their start, without those that change nothing."""
    steps: list[Period] = []
    for period in sorted(periods, key=lambda period: period.start or date.min):
        if not steps or steps[-1].price_usd != period.price_usd:
            steps.append(period)
    return tuple(steps)
