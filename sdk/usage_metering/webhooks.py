"""What providers' webhooks and other known facts say, as the fields of an event. Pure: a mapping (or an SDK's object) in, fields out.

Each function returns the arguments of `UsageEvent.make` (without a tenant where the caller named none), or None where
what was reported is not usage: a message that is on its way, a call that nobody answered. ``number`` hashes a phone number.
A webhook that is delivered twice gives the same fields.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from email.utils import parsedate_to_datetime
from typing import Any

from usage_metering.events import InvalidEvent, shown
from usage_metering.sdk_objects import status_name, stripe_transaction, twilio_form
from usage_metering.taxonomy import NEVER_SENT, R2_CLASSES

Fields = dict[str, Any]
Number = Callable[[object], str | None]

PLACES_FAILURES = frozenset(
    (
        *(
            "ABORTED",
            "ALREADY_EXISTS",
            "CANCELLED",
            "DATA_LOSS",
            "DEADLINE_EXCEEDED",
            "FAILED_PRECONDITION",
            "INTERNAL",
        ),
        *(
            "INVALID_ARGUMENT",
            "NOT_FOUND",
            "OUT_OF_RANGE",
            "PERMISSION_DENIED",
            "RESOURCE_EXHAUSTED",
            "UNAUTHENTICATED",
        ),
        *("UNAVAILABLE", "UNIMPLEMENTED", "UNKNOWN"),
        # Of the API before the new one.
        *("INVALID_REQUEST", "OVER_DAILY_LIMIT", "OVER_QUERY_LIMIT", "REQUEST_DENIED", "UNKNOWN_ERROR"),
    )
)
"""Google's words for a request that got no answer; nothing found (ZERO_RESULTS) is one."""


def inbound_sms(source: Any, number: Number) -> Fields:
    """Twilio's request for an incoming message: segments, or one mms; what was written is not looked at.

    Raises:
        InvalidEvent: no MessageSid.
    """
    form = twilio_form(source, "Message")
    sid = _required(form, "MessageSid", "SmsMessageSid", "SmsSid")
    media = _whole(form.get("NumMedia"))
    return {
        "service": "twilio_sms",
        "operation": "mms_inbound" if media else "inbound",
        "units": 1 if media else max(1, _whole(form.get("NumSegments"))),
        "external_id": sid,
        "resource_id": number(form.get("To")),
        "metadata": _some(
            account_sid=form.get("AccountSid"),
            messaging_service_sid=form.get("MessagingServiceSid"),
            num_media=media or None,
        ),
    }


def message_status(source: Any, number: Number) -> Fields | None:
    """Twilio's status callback of a message: of interest is only that it was never sent.

    Raises:
        InvalidEvent: no MessageSid.
    """
    form = twilio_form(source, "Message")
    sid = _required(form, "MessageSid", "SmsSid")
    status = str(form.get("MessageStatus") or form.get("SmsStatus") or "").lower()
    if status not in NEVER_SENT:
        return None
    return {
        "service": "twilio_sms",
        "operation": "mms_outbound" if sid.startswith("MM") else "outbound",
        "units": 0,
        "event_key": f"{sid}:{status}",
        "external_id": sid,
        "resource_id": number(form.get("From")),
        "metadata": _some(
            status=status,
            error_code=form.get("ErrorCode"),
            account_sid=form.get("AccountSid"),
            messaging_service_sid=form.get("MessagingServiceSid"),
        ),
    }


def call_status(source: Any, number: Number) -> Fields | None:
    """Twilio's status callback of a call: a completed one has used the minutes it began, on the day it started.

    Raises:
        InvalidEvent: no CallSid.
    """
    form = twilio_form(source, "Call")
    sid = _required(form, "CallSid")
    status = str(form.get("CallStatus") or "").lower()
    seconds = _whole(form.get("CallDuration"))
    if status != "completed" or seconds <= 0:
        return None
    direction = "inbound" if str(form.get("Direction") or "").lower().startswith("inbound") else "outbound"
    ended = _rfc2822(form.get("Timestamp"))
    return {
        "service": "twilio_voice",
        "operation": direction,
        "units": math.ceil(seconds / 60),
        "event_key": f"{sid}:completed",
        "external_id": sid,
        "resource_id": number(form.get("To" if direction == "inbound" else "From")),
        "occurred_at": None if ended is None else ended - timedelta(seconds=seconds),
        "metadata": _some(
            status=status,
            duration_seconds=seconds,
            account_sid=form.get("AccountSid"),
            parent_call_sid=form.get("ParentCallSid"),
        ),
    }


def recording_status(source: Any, number: Number) -> Fields | None:
    """Twilio's status callback of a recording: a completed one has used the minutes it began.

    Raises:
        InvalidEvent: no RecordingSid.
    """
    form = twilio_form(source, "Recording")
    sid = _required(form, "RecordingSid")
    seconds = _whole(form.get("RecordingDuration"))
    if str(form.get("RecordingStatus") or "").lower() != "completed" or seconds <= 0:
        return None
    return {
        "service": "twilio_voice",
        "operation": "recording",
        "units": math.ceil(seconds / 60),
        "external_id": sid,
        "occurred_at": _rfc2822(form.get("RecordingStartTime")),
        "metadata": _some(duration_seconds=seconds, account_sid=form.get("AccountSid"), call_sid=form.get("CallSid")),
    }


def phone_number(number_hash: str | None, kind: str, action: str, day: date) -> Fields:
    """A number that was provisioned (its first number_day) or released; once per number, action and day.

    Its external id is the number's day, which is what Twilio's list of numbers comes to: the two count once.

    Raises:
        InvalidEvent: another action.
    """
    if action not in ("provisioned", "released"):
        raise InvalidEvent(f"unknown action {shown(action)}: use provisioned or released")
    return {
        "service": "twilio_phone",
        "operation": kind,
        "units": 1 if action == "provisioned" else 0,
        "event_key": f"phone:{number_hash}:{action}:{day}" if number_hash else None,
        "external_id": f"phone:{number_hash}:{day}" if number_hash else None,
        "resource_id": number_hash,
        "metadata": {"action": action},
    }


def stripe_fee(source: Any, account: Any) -> Fields:
    """A Stripe balance transaction, as the API, a webhook or the SDK has it: one transaction, its fee in the metadata.

    Raises:
        InvalidEvent: no id, or no balance transaction.
    """
    transaction = stripe_transaction(source)
    created = transaction.get("created")
    return {
        "service": "stripe",
        "operation": str(transaction.get("type") or transaction.get("reporting_category") or "charge"),
        "units": 1,
        "external_id": _required(transaction, "id"),
        "resource_id": getattr(account, "id", account),
        "occurred_at": datetime.fromtimestamp(created, UTC) if isinstance(created, int) else None,
        "metadata": _some(
            amount_minor=transaction.get("amount"),
            fee_minor=transaction.get("fee"),
            net_minor=transaction.get("net"),
            currency=transaction.get("currency"),
            type=transaction.get("type"),
        ),
    }


def places(operation: str, requests: int, session_hash: str | None, status: str | int | None) -> Fields | None:
    """Requests to Google Places; ``operation`` is the SKU that the field mask decides (place_details_pro, …).

    ``status`` is HTTP's number or Google's word: what failed is not billed, and no use.
    """
    status = status_name(status)
    if _is_failure(status):
        return None
    return {
        "service": "google_places",
        "operation": operation,
        "units": requests,
        "metadata": _some(session=session_hash, status=status),
    }


def r2(action: str, count: int, bucket: str | None) -> Fields:
    """Operations on R2 by their action (PutObject, …). The free ones are counted as well, as R2 counts them.

    Raises:
        InvalidEvent: an action that R2's price list does not have.
    """
    if action not in R2_CLASSES:
        raise InvalidEvent(f"{shown(action)} is not in R2's price list")
    return {
        "service": "cloudflare_r2",
        "operation": R2_CLASSES[action],
        "channel": "storage_ops",
        "units": count,
        "resource_id": bucket,
        "metadata": {"action": action},
    }


def internal(operation: str, units: int | float | str | Decimal) -> Fields:
    """Whatever the product itself wants counted."""
    return {"service": "internal", "operation": operation, "units": units}


def _is_failure(status: str | int | None) -> bool:
    text = "" if status is None else str(status).strip().upper()
    return not text.startswith("2") if text.isdigit() else text in PLACES_FAILURES


def _required(form: Mapping[str, Any], *names: str) -> str:
    for name in names:
        if form.get(name):
            return str(form[name])
    raise InvalidEvent(f"{names[0]} is missing")


def _whole(value: object) -> int:
    try:
        return int(str(value or 0))
    except ValueError:
        return 0


def _rfc2822(value: object) -> datetime | None:
    try:
        moment = parsedate_to_datetime(str(value))
    except (TypeError, ValueError):
        return None
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def _some(**values: object) -> dict[str, object]:
    return {name: value for name, value in values.items() if value not in (None, "")}
