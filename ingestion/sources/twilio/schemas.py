"""Twilio's records as Arrow: the fields we keep, typed. A message's body is not among them."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Any, TypedDict

import msgspec
import pyarrow as pa
import pyarrow.compute as pc

from ingestion.pii import Hasher, normalise
from ingestion.sources.columns import INT32, Record, decimals, integers, text, timestamps

MESSAGE_FIELDS = (
    *("sid", "messaging_service_sid", "from", "to", "direction", "status", "num_segments", "num_media"),
    *("price", "price_unit", "error_code", "date_created", "date_sent", "date_updated"),
)
CALL_FIELDS = (
    *("sid", "parent_call_sid", "phone_number_sid", "from", "to", "direction", "status", "duration"),
    *("price", "price_unit", "date_created", "start_time", "end_time"),
)
NUMBER_FIELDS = ("sid", "phone_number", "date_created")


def page_decoder(name: str, fields: tuple[str, ...]) -> msgspec.json.Decoder[Any]:
    """Return a decoder of pages of the list ``name`` that reads these fields of its records and skips the others."""
    record = TypedDict("record", dict.fromkeys(fields, Any), total=False)  # type: ignore[misc]
    page = TypedDict("page", {name: list[record], "next_page_uri": Any}, total=False)  # type: ignore[misc]
    return msgspec.json.Decoder(page, float_hook=Decimal)


DECODERS = {
    "messages": page_decoder("messages", MESSAGE_FIELDS),
    "calls": page_decoder("calls", CALL_FIELDS),
    "incoming_phone_numbers": page_decoder("incoming_phone_numbers", NUMBER_FIELDS),
    "accounts": page_decoder("accounts", ("sid",)),
}
"""What else a record holds, a message's body for one, is never more than bytes on the wire."""


class Numbers:
    """Phone numbers as they may be stored: always a keyed hash, in clear only the known ones (ours)."""

    def __init__(self, hasher: Hasher, known_hashes: set[str]) -> None:
        self.hasher = hasher
        self.known_hashes = known_hashes

    def columns(self, records: Sequence[Record], side: str) -> dict[str, pa.Array]:
        """Return a side's two columns: the number in E.164 where it is known to be ours, else null; and its hash.

        The same few numbers are in most records, so each is looked at once a batch.
        """
        encoded = text(records, side).dictionary_encode()
        values = encoded.dictionary.to_pylist()
        hashes = pa.array([self.hasher.hash_or_none(value) for value in values], pa.string())
        clear = pa.array([self._clear_or_none(value) for value in values], pa.string())
        return {
            f"{side}_number": clear.take(encoded.indices),
            f"{side}_number_hash": hashes.take(encoded.indices),
        }

    def _clear_or_none(self, value: str) -> str | None:
        return normalise(value) if value and self.hasher.hash(value) in self.known_hashes else None


def messages_table(records: Sequence[Record], account: str, numbers: Numbers) -> pa.Table:
    """Return messages; the price stays as Twilio says it (negative for a charge)."""
    sent = timestamps(records, "date_sent")
    return pa.table(
        {
            "account_id": pa.array([account] * len(records), pa.string()),
            "usage_date": sent.cast(pa.date32()),
            "sid": text(records, "sid", required=True),
            "messaging_service_sid": text(records, "messaging_service_sid"),
            **numbers.columns(records, "from"),
            **numbers.columns(records, "to"),
            "direction": text(records, "direction"),
            "status": text(records, "status", required=True),
            "num_segments": integers(records, "num_segments", largest=INT32),
            "num_media": integers(records, "num_media", largest=INT32),
            "price": decimals(records, "price"),
            "price_unit": pc.utf8_upper(text(records, "price_unit")),
            "error_code": integers(records, "error_code", largest=INT32),
            "date_created": timestamps(records, "date_created"),
            "date_sent": sent,
            "date_updated": timestamps(records, "date_updated"),
        }
    )


def calls_table(records: Sequence[Record], account: str, numbers: Numbers) -> pa.Table:
    """Return call legs."""
    started = timestamps(records, "start_time")
    return pa.table(
        {
            "account_id": pa.array([account] * len(records), pa.string()),
            "usage_date": started.cast(pa.date32()),
            "sid": text(records, "sid", required=True),
            "parent_call_sid": text(records, "parent_call_sid"),
            "phone_number_sid": text(records, "phone_number_sid"),
            **numbers.columns(records, "from"),
            **numbers.columns(records, "to"),
            "direction": text(records, "direction"),
            "status": text(records, "status", required=True),
            "duration_seconds": integers(records, "duration", largest=INT32),
            "price": decimals(records, "price"),
            "price_unit": pc.utf8_upper(text(records, "price_unit")),
            "date_created": timestamps(records, "date_created"),
            "start_time": started,
            "end_time": timestamps(records, "end_time"),
        }
    )


def phone_numbers_table(records: Sequence[Record], account: str, numbers: Numbers) -> pa.Table:
    """Return the account's own numbers, and remember them as known."""
    clear = [normalise(value) for value in text(records, "phone_number", required=True).to_pylist()]
    hashes = [numbers.hasher.hash(value) for value in clear]
    sids = text(records, "sid", required=True)
    created = timestamps(records, "date_created")
    numbers.known_hashes.update(hashes)
    return pa.table(
        {
            "account_id": pa.array([account] * len(records), pa.string()),
            "sid": sids,
            "phone_number": pa.array(clear, pa.string()),
            "phone_number_hash": pa.array(hashes, pa.string()),
            "date_created": created,
        }
    )
