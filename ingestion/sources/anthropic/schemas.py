"""Anthropic's results as Arrow, whichever report they are of. What has no workspace or key is null there and '' here."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from decimal import Decimal, InvalidOperation
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from ingestion.sources.buckets import keys
from ingestion.sources.columns import EXACT, MalformedRecord, Record, decimals, integers, text
from ingestion.sources.tiers import long_tier, tier_of

SHORT_WINDOWS = ("", "0-200k")


def usage_table(records: Sequence[Record], day: date) -> pa.Table:
    """Return usage: tokens in disjoint parts. ``requests`` is null where the report does not count them."""
    written = _parts(records, "cache_creation")
    return pa.table(
        {
            **keys(records, day, ("workspace_id", "api_key_id", "model")),
            "tier": _tiers(records),
            "uncached_input_tokens": integers(records, "uncached_input_tokens", required=True),
            "cache_read_input_tokens": integers(records, "cache_read_input_tokens", default=0),
            "ephemeral_5m_input_tokens": integers(written, "ephemeral_5m_input_tokens", default=0),
            "ephemeral_1h_input_tokens": integers(written, "ephemeral_1h_input_tokens", default=0),
            "output_tokens": integers(records, "output_tokens", default=0),
            "web_search_requests": integers(_parts(records, "server_tool_use"), "web_search_requests", default=0),
            "requests": integers(records, "requests"),
        }
    )


def costs_table(records: Sequence[Record], day: date) -> pa.Table:
    """Return costs in dollars. A line item is what the report describes it as, else what it is made of."""
    named = [
        {**record, "line_item": _line_item(record), "amount": _dollars(record.get("amount"))} for record in records
    ]
    return pa.table(
        {
            **keys(named, day, ("workspace_id", "line_item", "model")),
            "tier": _tiers(named),
            "currency": pc.utf8_lower(text(named, "currency", required=True)),
            "cost_type": text(named, "cost_type", default=""),
            "amount": decimals(named, "amount", required=True),
        }
    )


def _tiers(records: Sequence[Record]) -> pa.Array:
    """Return the tiers that prices go by: how each was processed, and whether its calls were long ones."""
    processed = text(records, "service_tier", default="").to_pylist()
    windows = text(records, "context_window", default="").to_pylist()
    tiers = [tier_of(tier) for tier in processed]
    return pa.array(
        [tier if window in SHORT_WINDOWS else long_tier(tier) for tier, window in zip(tiers, windows, strict=True)],
        pa.string(),
    )


def _parts(records: Sequence[Record], field: str) -> list[Record]:
    parts = [record.get(field) or {} for record in records]
    if not all(isinstance(part, dict) for part in parts):
        raise MalformedRecord(f"{field}: not an object")
    return parts


def _line_item(record: Record) -> Any:
    made_of = (record.get(field) for field in ("model", "cost_type", "service_tier"))
    return record.get("description") or ", ".join(str(part) for part in made_of if part)


def _dollars(cents: Any) -> Decimal | None:
    try:
        return None if cents in (None, "") else EXACT.scaleb(Decimal(str(cents)), -2)
    except InvalidOperation:
        raise MalformedRecord("amount: not a number") from None
