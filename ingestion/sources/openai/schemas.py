"""OpenAI's bucket results as Arrow. What is not grouped by is null there and '' here."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

import pyarrow as pa
import pyarrow.compute as pc

from ingestion.sources.columns import MalformedRecord, Record, decimals, integers, text


def completions_table(records: Sequence[Record], account: str, day: date) -> pa.Table:
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
            **_keys(records, account, day, ("project_id", "api_key_id", "model")),
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


def tier_of(name: str) -> str:
    """Return a service tier's one name: the standard one has none, `fast` is another name of `priority`."""
    name = name.strip().lower()
    return {"auto": "", "default": "", "standard": "", "fast": "priority"}.get(name, name)


def embeddings_table(records: Sequence[Record], account: str, day: date) -> pa.Table:
    """Return embeddings usage."""
    return pa.table(
        {
            **_keys(records, account, day, ("project_id", "api_key_id", "model")),
            "input_tokens": integers(records, "input_tokens", required=True),
            "num_model_requests": integers(records, "num_model_requests", default=0),
        }
    )


def counts_table(records: Sequence[Record], account: str, day: date, *, measure: str) -> pa.Table:
    """Return the usage of an endpoint that counts one thing of its own: ``measure``."""
    return pa.table(
        {
            **_keys(records, account, day, ("project_id", "api_key_id", "model")),
            measure: integers(records, measure, required=True),
            "num_model_requests": integers(records, "num_model_requests", default=0),
        }
    )


def costs_table(records: Sequence[Record], account: str, day: date) -> pa.Table:
    """Return costs. The amount is a JSON number (or its text) in units of its currency, never cents."""
    amounts = [record.get("amount") for record in records]
    if not all(isinstance(amount, dict) for amount in amounts):
        raise MalformedRecord("amount: not an object with value and currency")
    values: list[Record] = [amount for amount in amounts if isinstance(amount, dict)]
    return pa.table(
        {
            **_keys(records, account, day, ("project_id", "line_item")),
            "currency": pc.utf8_lower(text(values, "currency", required=True)),
            "amount": decimals(values, "value", required=True),
            "quantity": decimals(records, "quantity"),
            "quantity_unit": text(records, "quantity_unit"),
        }
    )


def _keys(records: Sequence[Record], account: str, day: date, fields: tuple[str, ...]) -> dict[str, pa.Array]:
    return {
        "account_id": pa.array([account] * len(records), pa.string()),
        "usage_date": pa.array([day] * len(records), pa.date32()),
        **{field: text(records, field, default="") for field in fields},
    }


MEASURES = (
    "input_tokens",
    "cached_input_tokens",
    "cache_write_tokens",
    "output_tokens",
    "num_model_requests",
    "amount",
    "quantity",
    "images",
    "characters",
    "seconds",
    "usage_bytes",
    "num_sessions",
    "num_requests",
)


def summed(table: pa.Table) -> pa.Table:
    """Return one row per key: results of one bucket that differ in nothing we group by are one."""
    measures = [name for name in table.column_names if name in MEASURES]
    keys = [name for name in table.column_names if name not in MEASURES and name != "quantity_unit"]
    if table.group_by(keys).aggregate([]).num_rows == table.num_rows:
        return table
    aggregates = [(name, "sum") for name in measures]
    if "quantity_unit" in table.column_names:
        aggregates.append(("quantity_unit", "max"))
    merged = table.group_by(keys).aggregate(aggregates)
    columns = {}
    for name in table.column_names:
        source = name if name in keys else f"{name}_sum" if name in MEASURES else f"{name}_max"
        columns[name] = merged[source].cast(table.schema.field(name).type)
    return pa.table(columns)
