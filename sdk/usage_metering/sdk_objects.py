"""What a provider's SDK hands out, as the mapping that the helpers read: an API's JSON object, or a webhook's parameters.

By what an object offers, not by its class: the SDKs are the product's own, of any version.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from email.utils import format_datetime
from typing import Any

from usage_metering.events import InvalidEvent

TWILIO: dict[str, tuple[str, ...]] = {
    "AccountSid": ("account_sid",),
    "MessagingServiceSid": ("messaging_service_sid",),
    "NumSegments": ("num_segments",),
    "NumMedia": ("num_media",),
    "ErrorCode": ("error_code",),
    "ParentCallSid": ("parent_call_sid",),
    "CallDuration": ("duration",),
    "Direction": ("direction",),
    "Timestamp": ("end_time",),
    "To": ("to",),
    "From": ("from_", "_from"),
}
"""A webhook's parameter -> the attributes of a message or call of Twilio's SDK that say it."""


def twilio_form(source: Any, kind: str) -> Mapping[str, Any]:
    """Return the parameters of Twilio's webhook, also from a message or call of its SDK (``client.messages(sid).fetch()``).

    Args:
        source: a mapping (values may be lists, as `urllib.parse.parse_qs` makes them), or the SDK's instance.
        kind: ``Message`` or ``Call``.

    Raises:
        InvalidEvent: neither, or an instance of another kind.
    """
    if isinstance(source, Mapping):
        return {name: value[0] if isinstance(value, list) and value else value for name, value in source.items()}
    sid = getattr(source, "sid", None)
    if not isinstance(sid, str):
        raise InvalidEvent(f"pass the parameters of Twilio's webhook (a mapping), not {type(source).__name__}")
    if sid.startswith("CA") is not (kind == "Call"):
        raise InvalidEvent(f"expected a Twilio {kind.lower()}, not {type(source).__name__}")
    form: dict[str, Any] = {f"{kind}Sid": sid, f"{kind}Status": getattr(source, "status", None)}
    for parameter, attributes in TWILIO.items():
        values = [value for name in attributes if (value := getattr(source, name, None)) is not None]
        if values:
            form[parameter] = format_datetime(values[0]) if isinstance(values[0], datetime) else values[0]
    return form


def stripe_transaction(source: Any) -> Mapping[str, Any]:
    """Return a Stripe balance transaction as the API has it, also from the SDK's object (no mapping since its version 15).

    A charge, refund, … whose ``balance_transaction`` was expanded is that transaction.

    Raises:
        InvalidEvent: something else.
    """
    transaction = _stripe_mapping(source)
    kind = transaction.get("object", "balance_transaction")
    if kind == "balance_transaction":
        return transaction
    inner = transaction.get("balance_transaction")
    if inner is None or isinstance(inner, str):
        raise InvalidEvent(f"this is a Stripe {kind}: pass its expanded balance_transaction")
    return stripe_transaction(inner)


def _stripe_mapping(source: Any) -> Mapping[str, Any]:
    if isinstance(source, Mapping):
        return source
    to_dict = getattr(source, "to_dict", None)
    transaction = to_dict() if callable(to_dict) else None
    if not isinstance(transaction, Mapping):
        raise InvalidEvent(f"pass a Stripe balance transaction, not {type(source).__name__}")
    return transaction


def phone_number(source: Any) -> object:
    """Return the number, also of an ``IncomingPhoneNumber`` of Twilio's SDK."""
    return source if isinstance(source, str) else getattr(source, "phone_number", source)


def field_mask(source: Any) -> Any:
    """Return the fields, also of a protobuf ``FieldMask`` (its ``paths``), as Google's SDK takes it."""
    return source if isinstance(source, str) else getattr(source, "paths", source)


def status_name(source: Any) -> str | int | None:
    """Return a status as HTTP's number or Google's word, also of an enumeration (``http.HTTPStatus``, ``grpc.StatusCode``)."""
    if source is None or isinstance(source, (str, int)):
        return source if source is None or isinstance(source, str) else int(source)
    return str(getattr(source, "name", source))
