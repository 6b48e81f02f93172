"""OpenAI's bucket results as Arrow. What is not grouped by is null there and '' here."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

import pyarrow as pa
import pyarrow.compute as pc

from ingestion.sources.buckets import keys
from ingestion.sources.columns import MalformedRecord, Record, decimals, integers, text
from ingestion.sources.tiers import tier_of


def completions_table(records: Sequence[Record], day: date) -> pa.Table:
    """Return completions usage; input tokens include the cached ones and those written to the cache.

    ``tier`` is what `_tiers` makes of ``batch`` and ``service_tier``.
    """
    inputs = integers(records, "input_tokens", required=True)
    cached = integers(records, "input_cached_tokens", default=0)
    if pc.any(pc.greater(cached, inputs)).as_py():
        raise MalformedRecord("input_cached_tokens: more than input_tokens, which include them")
    written = integers(records, "input_cache_write_tokens", default=0)
    if pc.any(pc.greater(pc.add(cached, written), inputs)).as_py():
        raise MalformedRecord(
            "input_cache_write_tokens: with input_cached_tokens more than input_tokens, which include both"
        )
    return pa.table(
        {
            **keys(records, day, ("project_id", "api_key_id", "model")),
            "tier": _tiers(records),
            "input_tokens": inputs,
            "cached_input_tokens": cached,
            "cache_write_tokens": written,
            "output_tokens": integers(records, "output_tokens", default=0),
            "num_model_requests": integers(records, "num_model_requests", default=0),
        }
    )


def _tiers(records: Sequence[Record]) -> pa.Array:
    """Return how each was processed, where that may have a price of its own: batch, flex, priority; '' is standard, or unknown.

    A batch has its price whatever tier it names. Another tier keeps its name: the price that holds for all tiers is its price.
    """
    tiers_named = text(records, "service_tier", default="").to_pylist()
    batches = [record.get("batch") for record in records]
    if not all(batch is None or isinstance(batch, bool) for batch in batches):
        raise MalformedRecord("batch: neither true nor false")
    tiers = ["batch" if batch else tier_of(tier) for batch, tier in zip(batches, tiers_named, strict=True)]
    return pa.array(tiers, pa.string())


def embeddings_table(records: Sequence[Record], day: date) -> pa.Table:
    """Return embeddings usage."""
    return pa.table(
        {
            **keys(records, day, ("project_id", "api_key_id", "model")),
            "input_tokens": integers(records, "input_tokens", required=True),
            "num_model_requests": integers(records, "num_model_requests", default=0),
        }
    )


def counts_table(records: Sequence[Record], day: date, *, measure: str) -> pa.Table:
    """Return the usage of an endpoint that counts one thing of its own: ``measure``."""
    return pa.table(
        {
            **keys(records, day, ("project_id", "api_key_id", "model")),
            measure: integers(records, measure, required=True),
            "num_model_requests": integers(records, "num_model_requests", default=0),
        }
    )


def costs_table(records: Sequence[Record], day: date) -> pa.Table:
    """Return costs. The amount is a JSON number (or its text) in units of its currency, never cents."""
    amounts = [record.get("amount") for record in records]
    if not all(isinstance(amount, dict) for amount in amounts):
        raise MalformedRecord("amount: not an object with value and currency")
    values: list[Record] = [amount for amount in amounts if isinstance(amount, dict)]
    return pa.table(
        {
            **keys(records, day, ("project_id", "line_item")),
            "currency": pc.utf8_lower(text(values, "currency", required=True)),
            "amount": decimals(values, "value", required=True),
            "quantity": decimals(records, "quantity"),
            "quantity_unit": text(records, "quantity_unit"),
        }
    )
