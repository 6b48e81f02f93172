"""Twilio's records as Arrow: the fields we keep, typed. A message's body is not among them."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa
import pyarrow.compute as pc

from ingestion.pii import Hasher, normalise
from ingestion.sources.columns import INT32, Record, decimals, integers, text, timestamps


class Numbers:
    """Phone numbers as they may be stored: always a keyed hash, in clear only the known ones (ours)."""

    def __init__(self, hasher: Hasher, known_hashes: set[str]) -> None:
        self.hasher = hasher
        self.known_hashes = known_hashes
        self._clear: dict[str, str | None] = {}

    def hashes(self, records: Sequence[Record], field: str) -> pa.Array:
        """Return the hash column of a number field."""
        hash_or_none = self.hasher.hash_or_none
        return pa.array([hash_or_none(value) for value in text(records, field).to_pylist()], pa.string())

    def clear(self, records: Sequence[Record], field: str) -> pa.Array:
        """Return the number in E.164 where it is known to be ours, else null."""
        return pa.array([self._clear_or_none(value) for value in text(records, field).to_pylist()], pa.string())

    def _clear_or_none(self, value: str | None) -> str | None:
        if not value:
            return None
        if value not in self._clear:
            known = self.hasher.hash(value) in self.known_hashes
            self._clear[value] = normalise(value) if known else None
        return self._clear[value]


def messages_table(records: Sequence[Record], account: str, numbers: Numbers) -> pa.Table:
    """Return messages; the price stays as Twilio says it (negative for a charge)."""
    sent = timestamps(records, "date_sent")
    return pa.table(
        {
            "account_id": pa.array([account] * len(records), pa.string()),
            "usage_date": sent.cast(pa.date32()),
            "sid": text(records, "sid", required=True),
            "messaging_service_sid": text(records, "messaging_service_sid"),
            "from_number": numbers.clear(records, "from"),
            "from_number_hash": numbers.hashes(records, "from"),
            "to_number": numbers.clear(records, "to"),
            "to_number_hash": numbers.hashes(records, "to"),
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
            "from_number": numbers.clear(records, "from"),
            "from_number_hash": numbers.hashes(records, "from"),
            "to_number": numbers.clear(records, "to"),
            "to_number_hash": numbers.hashes(records, "to"),
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
