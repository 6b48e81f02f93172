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


def twilio_form(told: Any, kind: str) -> Mapping[str, Any]:
    """Return the parameters of Twilio's webhook, also from a message or call of its SDK (``client.messages(sid).fetch()``).

    Args:
        told: a mapping (values may be lists, as `urllib.parse.parse_qs` makes them), or the SDK's instance.
        kind: ``Message`` or ``Call``.

    Raises:
        InvalidEvent: neither, or an instance of another kind.
    """
    if isinstance(told, Mapping):
        return {name: value[0] if isinstance(value, list) and value else value for name, value in told.items()}
    sid = getattr(told, "sid", None)
    if not isinstance(sid, str):
        raise InvalidEvent(f"pass the parameters of Twilio's webhook (a mapping), not {type(told).__name__}")
    if sid.startswith("CA") is not (kind == "Call"):
        raise InvalidEvent(f"expected a Twilio {kind.lower()}, not {type(told).__name__}")
    form: dict[str, Any] = {f"{kind}Sid": sid, f"{kind}Status": getattr(told, "status", None)}
    for parameter, attributes in TWILIO.items():
        said = [value for name in attributes if (value := getattr(told, name, None)) is not None]
        if said:
            form[parameter] = format_datetime(said[0]) if isinstance(said[0], datetime) else said[0]
    return form


def stripe_transaction(told: Any) -> Mapping[str, Any]:
    """Return a Stripe balance transaction as the API has it, also from the SDK's object (no mapping since its version 15).

    A charge, refund, … whose ``balance_transaction`` was expanded is that transaction.

    Raises:
        InvalidEvent: something else.
    """
    found = _stripe_mapping(told)
    kind = found.get("object", "balance_transaction")
    if kind == "balance_transaction":
        return found
    inner = found.get("balance_transaction")
    if inner is None or isinstance(inner, str):
        raise InvalidEvent(f"this is a Stripe {kind}: pass its expanded balance_transaction")
    return stripe_transaction(inner)


def _stripe_mapping(told: Any) -> Mapping[str, Any]:
    if isinstance(told, Mapping):
        return told
    to_dict = getattr(told, "to_dict", None)
    found = to_dict() if callable(to_dict) else None
    if not isinstance(found, Mapping):
        raise InvalidEvent(f"pass a Stripe balance transaction, not {type(told).__name__}")
    return found


def phone_number(told: Any) -> object:
    """Return the number, also of an ``IncomingPhoneNumber`` of Twilio's SDK."""
    return told if isinstance(told, str) else getattr(told, "phone_number", told)


def field_mask(told: Any) -> Any:
    """Return the fields, also of a protobuf ``FieldMask`` (its ``paths``), as Google's SDK takes it."""
    return told if isinstance(told, str) else getattr(told, "paths", told)


def status_word(told: Any) -> str | int | None:
    """Return a status as HTTP's number or Google's word, also of an enumeration (``http.HTTPStatus``, ``grpc.StatusCode``)."""
    if told is None or isinstance(told, (str, int)):
        return told if told is None or isinstance(told, str) else int(told)
    return str(getattr(told, "name", told))
