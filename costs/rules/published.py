"""What providers of AI publish of their prices, as the package genai-prices has it: offline data, with its history. No call is made."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time
from decimal import Decimal
from importlib.metadata import version
from typing import Any

from costs.rules.price_book import LONG_CONTEXT
from costs.rules.services import METERS, SETTLED

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
    "fast_mode": {"speed": "fast"},
}
"""Tier -> what genai-prices calls it. A context that it does not know is the full price, unsaid."""
WEB_SEARCHES = "web_searches_kcount"
# Their tokens are not all text, and one price of a token would misprice them.
OTHER_MEDIA = ("audio", "image", "realtime", "transcribe", "tts", "live", "whisper")


@dataclass(frozen=True)
class Vendor:
    """Whose prices they are. ``service`` is ours; genai-prices calls the vendor the same.

    Attributes:
        long_from: beginning of a model's name, and the input tokens above which its calls are long; the first that fits.
    """

    service: str
    label: str
    long_from: tuple[tuple[str, int], ...]

    def is_long_from(self, model: str, tokens: int) -> bool:
        """Whether prices above ``tokens`` are those of the model's long calls."""
        return tokens == next((at for name, at in self.long_from if model.startswith(name)), None)


def _vendors() -> Iterable[Vendor]:
    """Return those who sell tokens and tell what was used of them, from the meter catalogue."""
    usual = {row["service"]: row for row in reversed(METERS) if row["unit"] == "tokens"}
    for service in SETTLED:
        if service in usual:
            limits = (limit.rpartition(":") for limit in usual[service]["long_context_from"].split())
            yield Vendor(service, usual[service]["service_label"], tuple((name, int(at)) for name, _, at in limits))


VENDORS = tuple(_vendors())

Versions = Sequence[tuple[date | None, Any]]


@dataclass(frozen=True)
class Period:
    """A component's price per million tokens from ``start`` on; None: for all that is known. ``up_to``: input tokens of the longest call."""

    start: date | None
    price_usd: Decimal
    up_to: int | None = None


@dataclass(frozen=True)
class PublishedModel:
    """A text model and, by component, its prices in the order of their start; ``tiers`` has those of each tier in the same way.

    ``per``: how many units a price is for.
    """

    name: str
    operation: str
    components: dict[str, tuple[Period, ...]]
    tiers: dict[str, dict[str, tuple[Period, ...]]] = field(default_factory=dict)
    service: str = "openai"
    per: Decimal = PER


class UnknownModel(Exception):
    """genai-prices has no text prices of that model."""


def source(service: str = "openai") -> str:
    """Return what the book says of where these figures are from."""
    label = next(vendor.label for vendor in VENDORS if vendor.service == service)
    return f"{label} list price (genai-prices {version('genai-prices')})"


def published_models(names: Sequence[str] = ()) -> list[PublishedModel]:
    """Return the text models of the vendors, or those that ``names`` ask for (an alias takes its model's prices).

    Raises:
        UnknownModel: a name of ``names`` is not a text model of theirs.
    """
    if names:
        return [_named(name) for name in names]
    found: list[PublishedModel] = []
    for vendor in VENDORS:
        models = _models(vendor)
        # An id that its own rule does not know is a family's (as is one that ends in a hyphen), not a name that usage comes under.
        texts = (
            _text_model(vendor, model, _base_name(model))
            for model in models
            if model.is_match(model.id) and not model.id.endswith("-") and ":" not in model.id
        )
        found += [model for model in texts if model is not None]
        found += _searches(vendor, models)
    return found


def _models(vendor: Vendor) -> Sequence[Any]:
    from genai_prices.data_snapshot import get_snapshot

    models: Sequence[Any] = next(
        provider for provider in get_snapshot().providers if provider.id == vendor.service
    ).models
    return models


def _base_name(model: Any) -> str:
    """The name that answers bear before their date: an id may end in what only a request says (-latest, -0)."""
    for ending in ("-latest", "-0"):
        name = str(model.id).removesuffix(ending)
        if name != model.id and model.is_match(name):
            return name
    return str(model.id)


def _searches(vendor: Vendor, models: Iterable[Any]) -> list[PublishedModel]:
    """The price of a web search, where it is one of all models and not by the model (OpenAI's depends on the tool)."""
    if vendor.service == "openai":
        return []
    prices = {
        price for model in models for _, entry in _versions(model) if (price := getattr(entry, WEB_SEARCHES, None))
    }
    if len(prices) != 1:
        return []
    components: dict[str, tuple[Period, ...]] = {"unit": (Period(None, Decimal(prices.pop())),)}
    return [PublishedModel("", "web_search_call", components, service=vendor.service, per=Decimal(1000))]


def _named(name: str) -> PublishedModel:
    for vendor in VENDORS:
        model = next((model for model in _models(vendor) if model.is_match(name)), None)
        found = _text_model(vendor, model, name) if model is not None else None
        if found is not None:
            return found
    labels = " or ".join(vendor.label for vendor in VENDORS)
    raise UnknownModel(f"genai-prices {version('genai-prices')} has no text prices of a model {name} of {labels}")


def _versions(model: Any) -> Versions:
    prices = model.prices if isinstance(model.prices, list) else [None]
    versions: list[tuple[date | None, Any]] = []
    for entry in prices:
        if entry is None:
            versions.append((None, model.prices))
        elif entry.constraint is None or hasattr(entry.constraint, "start_date"):
            versions.append((getattr(entry.constraint, "start_date", None), entry.prices))
    return versions


def _text_model(vendor: Vendor, model: Any, name: str) -> PublishedModel | None:
    versions = _versions(model)
    if not versions or any(word in model.id or word in name for word in OTHER_MEDIA):
        return None
    components = _components(versions)
    is_embedding = "embedding" in model.id
    if "input" not in components or ("output" in components) == is_embedding:
        return None
    operation = "embedding" if is_embedding else "chat_completion"
    return PublishedModel(name, operation, components, _tiers(vendor, model, versions), vendor.service)


def _tiers(vendor: Vendor, model: Any, versions: Versions) -> dict[str, dict[str, tuple[Period, ...]]]:
    """Return the prices that are the model's own in a tier, whole: what a tier says nothing of costs what it costs without."""

    def is_long(tokens: int) -> bool:
        return vendor.is_long_from(model.id, tokens)

    found = {LONG_CONTEXT: _long(versions, is_long)}
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
            found |= {tier: _components(steps), f"{tier}_{LONG_CONTEXT}": _long(steps, is_long)}
    return {tier: components for tier, components in found.items() if components}


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


def _long(versions: Versions, is_long: Callable[[int], bool]) -> dict[str, tuple[Period, ...]]:
    """Return the prices of a long call; none where its length makes no difference."""
    if not any(
        _rises(getattr(price, name, None), is_long) for _, price in versions for name in COMPONENT_FIELDS.values()
    ):
        return {}
    return _components(versions, lambda price: _rises(price, is_long) or getattr(price, "base", price))


def _rises(price: Any, is_long: Callable[[int], bool]) -> Decimal | None:
    tiers = getattr(price, "tiers", None) or ()
    return next((tier.price for tier in tiers if is_long(tier.start)), None)


def _period(start: date | None, price: Any, price_of: Callable[[Any], Decimal] | None) -> Period:
    if price_of is not None:
        return Period(start, price_of(price))
    if isinstance(price, Decimal):
        return Period(start, price)
    # Prices that rise with the length of the context: that of the first tier, and for long ones see `_long`.
    return Period(start, price.base, min(tier.start for tier in price.tiers))


def _steps(periods: tuple[Period, ...]) -> tuple[Period, ...]:
    """Return the periods in the order of their start, without those that change nothing."""
    steps: list[Period] = []
    for period in sorted(periods, key=lambda period: period.start or date.min):
        if not steps or steps[-1].price_usd != period.price_usd:
            steps.append(period)
    return tuple(steps)
