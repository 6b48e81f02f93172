"""Twilio's records as Arrow: the fields we keep, typed. A message's body is not among them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import date
from typing import Any, TypedDict

import msgspec
import phonenumbers
import pyarrow as pa
import pyarrow.compute as pc

from ingestion.sources.columns import INT32, MONEY, Record, decimals, exact, integers, text, timestamps
from usage_metering.pii import Hasher, normalise

MESSAGE_FIELDS = (
    *("sid", "messaging_service_sid", "from", "to", "direction", "status", "num_segments", "num_media"),
    *("price", "price_unit", "error_code", "date_created", "date_sent", "date_updated"),
)
CALL_FIELDS = (
    *("sid", "parent_call_sid", "phone_number_sid", "from", "to", "direction", "status", "duration"),
    *("price", "price_unit", "date_created", "start_time", "end_time"),
)
RECORDING_FIELDS = (
    *("sid", "call_sid", "conference_sid", "status", "source", "channels", "duration"),
    *("price", "price_unit", "date_created", "start_time", "date_updated"),
)
NUMBER_FIELDS = ("sid", "phone_number", "type", "date_created")
USAGE_FIELDS = (
    *("category", "start_date", "count", "count_unit", "usage", "usage_unit", "price", "price_unit", "as_of"),
)


def page_decoder(name: str, fields: tuple[str, ...]) -> msgspec.json.Decoder[Any]:
    """Return a decoder of pages of the list ``name`` that reads these fields of its records and skips the others."""
    record = TypedDict("record", dict.fromkeys(fields, Any), total=False)  # type: ignore[misc]
    page = TypedDict("page", {name: list[record], "next_page_uri": Any}, total=False)  # type: ignore[misc]
    return msgspec.json.Decoder(page, float_hook=exact)


DECODERS = {
    "messages": page_decoder("messages", MESSAGE_FIELDS),
    "calls": page_decoder("calls", CALL_FIELDS),
    "recordings": page_decoder("recordings", RECORDING_FIELDS),
    "incoming_phone_numbers": page_decoder("incoming_phone_numbers", NUMBER_FIELDS),
    "usage_records": page_decoder("usage_records", USAGE_FIELDS),
    "accounts": page_decoder("accounts", ("sid", "status")),
}
"""What else a record holds, a message's body for one, is never more than bytes on the wire."""

NOT_LETTERS = re.compile(r"[^a-z]")
KINDS = {"local": "local", "national": "local", "tollfree": "toll_free", "mobile": "mobile"}
PLAN_KINDS = {
    phonenumbers.PhoneNumberType.TOLL_FREE: "toll_free",
    phonenumbers.PhoneNumberType.MOBILE: "mobile",
}


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
        hashes = [self.hasher.hash_or_none(value) for value in values]
        clear = [
            normalise(value) if hashed in self.known_hashes else None
            for value, hashed in zip(values, hashes, strict=True)
        ]
        return {
            f"{side}_number": pa.array(clear, pa.string()).take(encoded.indices),
            f"{side}_number_hash": pa.array(hashes, pa.string()).take(encoded.indices),
        }


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


def recordings_table(records: Sequence[Record], account: str, _numbers: Numbers) -> pa.Table:
    """Return recordings; their day is that of their making, which is what the list can be asked by."""
    created = timestamps(records, "date_created")
    return pa.table(
        {
            "account_id": pa.array([account] * len(records), pa.string()),
            "usage_date": created.cast(pa.date32()),
            "sid": text(records, "sid", required=True),
            "call_sid": text(records, "call_sid"),
            "conference_sid": text(records, "conference_sid"),
            "status": text(records, "status", required=True),
            "source": text(records, "source"),
            "channels": integers(records, "channels", largest=INT32),
            # -1 is what a recording has before its end.
            "duration_seconds": integers(_without(records, "duration", "-1"), "duration", largest=INT32),
            "price": decimals(records, "price"),
            "price_unit": pc.utf8_upper(text(records, "price_unit")),
            "date_created": created,
            "start_time": timestamps(records, "start_time"),
            "date_updated": timestamps(records, "date_updated"),
        }
    )


def usage_records_table(records: Sequence[Record], account: str) -> pa.Table:
    """Return Twilio's totals by category, without those of which there was nothing."""
    table = pa.table(
        {
            "account_id": pa.array([account] * len(records), pa.string()),
            "usage_date": pa.array([date.fromisoformat(record["start_date"]) for record in records], pa.date32()),
            "category": text(records, "category", required=True),
            "event_count": decimals(records, "count"),
            "event_unit": text(records, "count_unit"),
            "usage_amount": decimals(records, "usage"),
            "usage_unit": text(records, "usage_unit"),
            "price": decimals(records, "price"),
            "price_unit": pc.utf8_upper(text(records, "price_unit")),
            "as_of": timestamps(records, "as_of"),
        }
    )
    zero = pa.scalar(0, MONEY)
    something = [pc.not_equal(table[name].fill_null(zero), zero) for name in ("event_count", "usage_amount", "price")]
    return table.filter(pc.or_(pc.or_(something[0], something[1]), something[2]))


def _without(records: Sequence[Record], field: str, value: str) -> Sequence[Record]:
    """Return the records, with nothing in ``field`` where it holds ``value``."""
    if all(str(record.get(field)) != value for record in records):
        return records
    return [{**record, field: None} if str(record.get(field)) == value else record for record in records]


def number_type(number: str, provider_type: str | None) -> str:
    """Return what is priced apart: ``toll_free``, ``mobile`` or ``local``.

    Twilio's own word comes first, in whichever spelling (its prices say `toll free`); else the numbering plan's. A number that
    is neither toll-free nor mobile is sold as a local one.
    """
    letters = NOT_LETTERS.sub("", (provider_type or "").lower())
    if letters in KINDS:
        return KINDS[letters]
    try:
        kind = phonenumbers.number_type(phonenumbers.parse(number, None))
    except phonenumbers.NumberParseException:
        return "local"
    return PLAN_KINDS.get(kind, "local")


def phone_numbers_table(records: Sequence[Record], account: str, numbers: Numbers) -> pa.Table:
    """Return the account's own numbers, and remember them as known."""
    clear = [normalise(value) for value in text(records, "phone_number", required=True).to_pylist()]
    hashes = [numbers.hasher.hash(value) for value in clear]
    sids = text(records, "sid", required=True)
    provider_type = text(records, "type").to_pylist()
    created = timestamps(records, "date_created")
    numbers.known_hashes.update(hashes)
    return pa.table(
        {
            "account_id": pa.array([account] * len(records), pa.string()),
            "sid": sids,
            "phone_number": pa.array(clear, pa.string()),
            "phone_number_hash": pa.array(hashes, pa.string()),
            "number_type": pa.array([number_type(*one) for one in zip(clear, provider_type, strict=True)], pa.string()),
            "date_created": created,
        }
    )
