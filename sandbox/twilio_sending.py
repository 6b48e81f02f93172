"""Creating messages and calls at Twilio: what is refused, and the record that an accepted one becomes.

The record is one of the sandbox's data from then on: queued, sent a second later, delivered after five more; priced
ten minutes after. A call is answered and lasts as many seconds as the last two digits of its number, and five.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from sandbox.generate.twilio import MMS_OUT, SMS, VOICE_OUT
from sandbox.lists import Record
from sandbox.times import iso, rfc2822

API = "/2010-04-01/Accounts"
ADDRESS = re.compile(r"\+[1-9]\d{6,14}|\d{5,6}|(whatsapp|messenger|rcs):.+")
SENDER = re.compile(r"\+[1-9]\d{6,14}|\d{5,6}|(whatsapp|messenger|rcs):.+|[A-Za-z0-9 ]{1,11}")
POOL_SENDER = "+15005550006"
PRICED_AFTER = 600
LONGEST_BODY = 1600

BASIC = set(
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿"
    "abcdefghijklmnopqrstuvwxyzäöñüà"
)
ESCAPED = set("\f^{}\\[~]|€")


class Refusal(Exception):
    """A request that Twilio answers with 400 and a code of its own."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


Form = Mapping[str, list[str]]


def one(form: Form, name: str) -> str:
    return (form.get(name) or [""])[0]


def segments(body: str) -> int:
    """SMS segments, cut from the text one after another."""
    gsm = set(body) <= BASIC | ESCAPED
    sizes = [1 + (c in ESCAPED) if gsm else len(c.encode("utf-16-le")) // 2 for c in body]
    alone, each = (160, 153) if gsm else (70, 67)
    if sum(sizes) <= alone:
        return 1
    count = 0
    while sizes:
        room, taken = each, 0
        while taken < len(sizes) and sizes[taken] <= room:
            room -= sizes[taken]
            taken += 1
        sizes, count = sizes[taken:], count + 1
    return count


def _both_sides(form: Form, *, sender_required: bool) -> tuple[str, str]:
    to, sender = one(form, "To"), one(form, "From")
    if not to:
        raise Refusal(21604, "A 'To' phone number is required.")
    if not ADDRESS.fullmatch(to) or to == "+15005550001":
        raise Refusal(21211, f"Invalid 'To' Phone Number: {to}")
    if not sender and sender_required:
        raise Refusal(21603, "A 'From' phone number is required.")
    if sender and not SENDER.fullmatch(sender):
        raise Refusal(21212, f"The 'From' phone number provided ({sender}) is not a valid phone number.")
    return to, sender


def message(form: Form, account_sid: str, own_numbers: list[str], now: float) -> Record:
    """The record of a message that is asked for. Raises Refusal."""
    service = one(form, "MessagingServiceSid") or None
    to, sender = _both_sides(form, sender_required=service is None)
    body, media = one(form, "Body"), form.get("MediaUrl") or []
    template = one(form, "ContentSid")
    if not body and not media and not template:
        raise Refusal(21602, "Message body is required.")
    if len(body) > LONGEST_BODY:
        raise Refusal(21617, "The concatenated message body exceeds the 1600 character limit.")
    if sender.startswith("+") and own_numbers and sender not in own_numbers:
        raise Refusal(21606, f"The 'From' phone number provided ({sender}) is not a number of your account.")
    body = body or (f"Template {template}" if template else "")
    created = int(now)
    sent, first = created + 1, "queued" if service is None else "accepted"
    if one(form, "ScheduleType") == "fixed":
        if service is None:
            raise Refusal(35118, "MessagingServiceSid is required to schedule a message.")
        sent, first = _moment(one(form, "SendAt")), "scheduled"
    count = 1 if media else segments(body)
    price = MMS_OUT if media else SMS * count
    sid = f"{'MM' if media else 'SM'}{secrets.token_hex(16)}"
    uri = f"{API}/{account_sid}/Messages/{sid}"
    return {
        "account_sid": account_sid,
        "api_version": "2010-04-01",
        "body": body,
        "date_created": rfc2822(created),
        "date_sent": rfc2822(sent),
        "date_updated": rfc2822(created),
        "direction": "outbound-api",
        "error_code": None,
        "error_message": None,
        "from": sender or (own_numbers[0] if own_numbers else POOL_SENDER),
        "messaging_service_sid": service,
        "num_media": str(len(media)),
        "num_segments": str(count),
        "price": f"-{price:.5f}",
        "price_unit": "USD",
        "sid": sid,
        "status": "delivered",
        "subresource_uris": {"media": f"{uri}/Media.json", "feedback": f"{uri}/Feedback.json"},
        "to": to,
        "uri": f"{uri}.json",
        "_sandbox": {
            "price_from": iso(sent + PRICED_AFTER),
            "status_history": [[iso(created), first], [iso(sent), "sent"], [iso(sent + 5), "delivered"]],
        },
    }


def _moment(text: str) -> int:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise Refusal(35114, "SendAt is not a valid date.") from None
    return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp())


def call(form: Form, account_sid: str, own_numbers: list[str], now: float) -> Record:
    """The record of a call that is asked for. Raises Refusal."""
    to, sender = _both_sides(form, sender_required=True)
    if not any(one(form, name) for name in ("Url", "Twiml", "ApplicationSid")):
        raise Refusal(21205, "Url parameter is required.")
    if sender.startswith("+") and own_numbers and sender not in own_numbers:
        raise Refusal(21210, f"The source phone number provided, {sender}, is not yet verified for your account.")
    digits = re.sub(r"\D", "", to)[-2:] or "0"
    seconds = 5 + int(digits)
    limit = one(form, "TimeLimit")
    if limit.isdigit() and int(limit):
        seconds = min(seconds, int(limit))
    created = int(now)
    start = created + 3
    end = start + seconds
    sid = f"CA{secrets.token_hex(16)}"
    uri = f"{API}/{account_sid}/Calls/{sid}"
    record: dict[str, Any] = {
        "account_sid": account_sid,
        "answered_by": None,
        "api_version": "2010-04-01",
        "caller_name": None,
        "date_created": rfc2822(created),
        "date_updated": rfc2822(end),
        "direction": "outbound-api",
        "duration": str(seconds),
        "end_time": rfc2822(end),
        "forwarded_from": None,
        "from": sender,
        "from_formatted": sender,
        "group_sid": None,
        "parent_call_sid": None,
        "phone_number_sid": None,
        "price": f"-{VOICE_OUT * -(-seconds // 60):.5f}",
        "price_unit": "USD",
        "queue_time": "0",
        "sid": sid,
        "start_time": rfc2822(start),
        "status": "completed",
        "subresource_uris": {"recordings": f"{uri}/Recordings.json", "events": f"{uri}/Events.json"},
        "to": to,
        "to_formatted": to,
        "trunk_sid": None,
        "uri": f"{uri}.json",
        "_sandbox": {
            "price_from": iso(end + PRICED_AFTER),
            "status_history": [
                [iso(created), "queued"],
                [iso(created + 1), "ringing"],
                [iso(start), "in-progress"],
                [iso(end), "completed"],
            ],
        },
    }
    return record
