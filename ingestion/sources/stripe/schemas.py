"""Stripe's balance transactions as Arrow: the fields we keep, typed. What a source says of a customer is not among them."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from ingestion.sources.columns import MalformedRecord, Record, decimals, epochs, integers, text
from usage_metering.pii import Hasher

PLATFORM = "platform"
"""The account of the key itself: Stripe does not say its name in a list."""

FIELDS = (
    *("id", "type", "reporting_category", "status", "currency", "amount", "fee", "net"),
    *("exchange_rate", "created", "available_on"),
)
TENANT_KEY = "tenant_id"
"""The key under which a charge's metadata name the tenant."""


def kept(transaction: Any, account: str, hasher: Hasher, tenants: Collection[str]) -> Any:
    """Return a transaction's own fields, and of its source those that say whose it is; what is not an object is returned as it is."""
    if not isinstance(transaction, Mapping):
        return transaction
    source = transaction.get("source")
    details = source if isinstance(source, Mapping) else {}
    return {
        **{name: transaction.get(name) for name in FIELDS},
        "application_fee": _application_fee(transaction.get("fee_details")),
        "source_id": details.get("id") if details else source,
        "source_currency": details.get("currency"),
        "charge_id": details.get("id") if details.get("object") == "charge" else _id(details.get("charge")),
        "connected_account_id": _destination(details) if account == PLATFORM else account,
        "metadata_tenant_id": _tenant(details.get("metadata"), hasher, tenants),
    }


def balance_transactions_table(records: Sequence[Record], account: str) -> pa.Table:
    """Return transactions as `kept` has them; amounts stay in minor units, with their sign."""
    created = epochs(records, "created", required=True)
    fees = integers(records, "fee", required=True, signed=True)
    applied = integers(records, "application_fee", required=True, signed=True)
    return pa.table(
        {
            "account_id": pa.array([account] * len(records), pa.string()),
            "usage_date": created.cast(pa.date32()),
            "id": text(records, "id", required=True),
            "type": text(records, "type", required=True),
            "reporting_category": text(records, "reporting_category"),
            "status": text(records, "status"),
            "currency": pc.utf8_lower(text(records, "currency", required=True)),
            "amount_minor": integers(records, "amount", required=True, signed=True),
            "fee_minor": fees,
            "net_minor": integers(records, "net", required=True, signed=True),
            "application_fee_minor": applied,
            "exchange_rate": _rates(records),
            "source_id": text(records, "source_id"),
            "source_currency": pc.utf8_lower(text(records, "source_currency")),
            "charge_id": text(records, "charge_id"),
            "connected_account_id": text(records, "connected_account_id"),
            "metadata_tenant_id": text(records, "metadata_tenant_id"),
            "created": created,
            "available_on": epochs(records, "available_on"),
        }
    )


def _rates(records: Sequence[Record]) -> pa.Array:
    rates = decimals(records, "exchange_rate")
    if pc.any(pc.less_equal(rates, pa.scalar(0, rates.type))).as_py():
        raise MalformedRecord("exchange_rate: not above 0")
    return rates


def _application_fee(details: Any) -> Any:
    """Return the part of the fee that is not Stripe's, in minor units; text that is not a number where a detail is malformed."""
    if not isinstance(details, Sequence) or isinstance(details, str):
        return 0
    amounts = [
        detail.get("amount")
        for detail in details
        if isinstance(detail, Mapping) and detail.get("type") == "application_fee"
    ]
    return sum(amounts) if all(type(amount) is int for amount in amounts) else "?"


def _destination(source: Mapping[str, Any]) -> Any:
    """Return the connected account that a source of the platform's is for: a destination charge's, a transfer's, a fee's payer."""
    data = source.get("transfer_data")
    candidates = (
        data.get("destination") if isinstance(data, Mapping) else None,
        source.get("on_behalf_of"),
        source.get("destination") if source.get("object") == "transfer" else None,
        source.get("account") if source.get("object") == "application_fee" else None,
    )
    return next((_id(value) for value in candidates if value), None)


def _id(value: Any) -> Any:
    """Return the id of what is given as one, or expanded."""
    return value.get("id") if isinstance(value, Mapping) else value


def _tenant(metadata: Any, hasher: Hasher, tenants: Collection[str]) -> str | None:
    """Return the tenant that the metadata name; another text may be anything, a customer's number too."""
    value = metadata.get(TENANT_KEY) if isinstance(metadata, Mapping) else None
    if not isinstance(value, str) or not value:
        return None
    return value if value in tenants else str(hasher.scrub(value))
